"""Frames of few colors as maps of patches: 4 x 4 pixels at each position, in the channels.

All arithmetic of a model is done at the positions; pixels are put together only when a frame is drawn.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

PATCH = 4  # pixels of a side
PIXELS = PATCH**2


def grid_of(size: tuple[int, int], side: int) -> tuple[int, int]:
    """Return the positions of patches that cover frames of a size (H, W), in multiples of `side`."""
    rows, columns = (math.ceil(pixels / (PATCH * side)) * side for pixels in size)
    return rows, columns


def to_patches(pixels: Tensor, grid: tuple[int, int]) -> Tensor:
    """(..., H, W) -> (..., 16, rows, columns); beyond the edges there are zeros."""
    height, width = pixels.shape[-2:]
    whole = F.pad(pixels, (0, PATCH * grid[1] - width, 0, PATCH * grid[0] - height))
    parts = whole.unflatten(-1, (grid[1], PATCH)).unflatten(-3, (grid[0], PATCH))  # (..., rows, 4, columns, 4)
    return parts.movedim((-3, -1), (-4, -3)).flatten(-4, -3)


def from_patches(patches: Tensor, size: tuple[int, int]) -> Tensor:
    """(..., 16, rows, columns) -> (..., H, W), the inverse of `to_patches`."""
    parts = patches.unflatten(-3, (PATCH, PATCH)).movedim((-4, -3), (-3, -1))
    return parts.flatten(-2, -1).flatten(-3, -2)[..., : size[0], : size[1]]


def one_hot(patches: Tensor, colors: int) -> Tensor:
    """patches: (B, 16, h, w) integers below `colors` -> (B, colors, 16, h, w) bool."""
    return patches[:, None] == torch.arange(colors, device=patches.device)[:, None, None, None]
