"""Histograms of oriented gradients as Dalal and Triggs made them, in OpenCV's convention (`cv2.HOGDescriptor`).

Against scikit-image's: square roots of the pixels first; each gradient votes for the two nearest directions and, inside
a block, for the four nearest cells (trilinear voting), the less the farther it is from the block's middle.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from rl_gen_lab.classic.hog import CLIP, gradients

FIRST_EPSILON = 0.1  # for each number of a block, added to its length
SECOND_EPSILON = 1e-3


def direction_votes(images: Tensor, orientations: int) -> Tensor:
    """Share each gradient's length between the two nearest directions over half a turn.

    images: (B, C, H, W) float -> (B, orientations, H, W).
    """
    down, right = gradients(images)
    angle = torch.atan2(down, right).remainder(2 * math.pi) * (orientations / math.pi) - 0.5
    low = angle.floor()
    share, length = angle - low, torch.hypot(down, right)
    votes = images.new_zeros(len(images), orientations, *images.shape[2:])
    for bins, part in ((low, 1 - share), (low + 1, share)):
        votes.scatter_add_(1, bins.long().remainder(orientations)[:, None], (part * length)[:, None])
    return votes


def cell_weights(cell: int, block: int, dtype: torch.dtype) -> Tensor:
    """Return how much a pixel of a block counts in each of its cells: (block * block, block * cell, block * cell).

    Bilinear between the middles of cells, times a Gaussian whose standard deviation is a quarter of the block's side.
    As OpenCV's, the Gaussian is centered on the corner that four pixels share, counted from a pixel's own corner.
    """
    side = cell * block
    pixel = torch.arange(side, dtype=dtype)
    position = (pixel + 0.5) / cell - 0.5  # in cells
    bilinear = (1 - (position[None] - torch.arange(block, dtype=dtype)[:, None]).abs()).clamp(min=0)
    sigma = side / 4
    gaussian = torch.exp(-(pixel - side / 2).square() / (2 * sigma**2))
    line = bilinear * gaussian  # (block, side)
    return (line[:, None, :, None] * line[None, :, None, :]).reshape(block * block, side, side)


def dalal(images: Tensor, orientations: int = 9, cell: int = 8, block: int = 2) -> Tensor:
    """Return normalized blocks, one cell apart. images: (B, C, H, W) float in [0, 255].

    Returns: (B, rows, columns, block, block, orientations).
    """
    votes = direction_votes(images.sqrt(), orientations)
    weights = cell_weights(cell, block, images.dtype).to(images.device)[:, None]
    histograms = F.conv2d(votes.flatten(0, 1)[:, None], weights, stride=cell)  # (B O, b b, rows, columns)
    blocks = histograms.unflatten(0, votes.shape[:2]).unflatten(2, (block, block)).permute(0, 4, 5, 2, 3, 1)
    own = (3, 4, 5)
    size = block * block * orientations
    clipped = (blocks / (blocks.square().sum(own, keepdim=True).sqrt() + FIRST_EPSILON * size)).clamp(max=CLIP)
    return clipped / (clipped.square().sum(own, keepdim=True).sqrt() + SECOND_EPSILON)
