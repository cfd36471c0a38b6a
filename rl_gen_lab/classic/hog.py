"""Histograms of oriented gradients, in scikit-image's convention.

The steps that both conventions share (gradients, blocks) stand here; OpenCV's is `rl_gen_lab.classic.dalal`.
Source: Dalal and Triggs 2005, "Histograms of Oriented Gradients for Human Detection".
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

EPSILON = 1e-5
CLIP = 0.2  # of L2-Hys: no gradient dominates its block


def gradients(images: Tensor) -> tuple[Tensor, Tensor]:
    """Differences of the pixels on both sides, of the channel in which they are largest; 0 across the borders.

    (A border reflected at its last pixel, as OpenCV's, has the difference 0 as well.)
    images: (B, C, H, W) float -> down, right: (B, H, W).
    """
    down, right = torch.zeros_like(images), torch.zeros_like(images)
    down[:, :, 1:-1] = images[:, :, 2:] - images[:, :, :-2]
    right[:, :, :, 1:-1] = images[:, :, :, 2:] - images[:, :, :, :-2]
    best_down, best_right = down[:, 0], right[:, 0]
    for channel in range(1, images.shape[1]):
        own_down, own_right = down[:, channel], right[:, channel]
        larger = torch.hypot(own_down, own_right) > torch.hypot(best_down, best_right)
        best_down = torch.where(larger, own_down, best_down)
        best_right = torch.where(larger, own_right, best_right)
    return best_down, best_right


def cell_histograms(images: Tensor, orientations: int, cell: int) -> Tensor:
    """Mean over the pixels of each cell of the gradient's length, in the bin of its direction over half a turn.

    A direction counts for one bin and a pixel for one cell, without interpolation. Pixels that fill no cell are left
    out. images: (B, C, H, W) float -> (B, orientations, H // cell, W // cell).
    """
    down, right = gradients(images)
    angle = torch.rad2deg(torch.atan2(down, right)).remainder(180)
    edges = torch.arange(1, orientations + 1, dtype=images.dtype, device=images.device) * (180 / orientations)
    bins = torch.bucketize(angle, edges, right=True)  # 180 degrees after rounding belong to no bin, as in the original
    votes = images.new_zeros(len(images), orientations + 1, *images.shape[2:])
    votes.scatter_(1, bins[:, None], torch.hypot(down, right)[:, None])
    return F.avg_pool2d(votes[:, :orientations], cell)


def blocks_of(cells: Tensor, block: int) -> Tensor:
    """cells: (B, O, rows, columns) -> overlapping blocks (B, rows - b + 1, columns - b + 1, b, b, O)."""
    return cells.unfold(2, block, 1).unfold(3, block, 1).permute(0, 2, 3, 4, 5, 1)


def normalize_blocks(blocks: Tensor, norm: str) -> Tensor:
    """Divide each block by its norm: L1, L1-sqrt, L2, L2-Hys (cut at 0.2 and divided once more).

    Source: Dalal and Triggs 2005, section 6.4. blocks: (B, rows, columns, b, b, O) -> the same.
    """
    own = (3, 4, 5)
    if norm in ("L1", "L1-sqrt"):
        divided = blocks / (blocks.abs().sum(own, keepdim=True) + EPSILON)
        return divided.sqrt() if norm == "L1-sqrt" else divided

    def by_length(values: Tensor) -> Tensor:
        return values / (values.square().sum(own, keepdim=True) + EPSILON**2).sqrt()

    return by_length(by_length(blocks).clamp(max=CLIP)) if norm == "L2-Hys" else by_length(blocks)


def hog(images: Tensor, orientations: int = 9, cell: int = 8, block: int = 2, norm: str = "L2-Hys") -> Tensor:
    """Return normalized blocks, as `skimage.feature.hog(..., feature_vector=False)`.

    images: (B, C, H, W) float, of any scale -> (B, rows, columns, block, block, orientations).
    """
    return normalize_blocks(blocks_of(cell_histograms(images, orientations, cell), block), norm)
