"""Proposals without learning: regions of one color.

A proposal is the box of a 4-connected region of equal color no larger than objects are. A region that a typical shape
of objects tiles exactly, more than once, is also cut into tiles of the largest such shape: bricks of one color that
touch are one region. Limits: an object that touches another of its color, or has several colors or shading, is not
proposed; every evaluation reports the recall (`proposal_recall`). Far simpler than the method of the paper, and made
for rendered images.
Source of the role: Girshick et al. 2014, "Rich feature hierarchies", section 2.1 (there: Uijlings et al. 2013).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


class ColorRegions:
    """Proposals for an image. sides: (2,) longest width and height [px]; shapes: (A, 2) typical widths and heights."""

    def __init__(self, sides: Tensor, shapes: Tensor, max_proposals: int) -> None:
        self.sides, self.max_proposals = sides.numpy(), max_proposals
        sizes = {(round(w), round(h)) for w, h in shapes.tolist()}
        self.tiles = sorted(sizes, key=lambda size: -size[0] * size[1])

    def __call__(self, image: Tensor) -> Tensor:
        """image: (C, H, W) uint8 -> (M, 4) float32, `max_proposals` at most: regions, small ones first, then tiles."""
        boxes = regions(image.cpu().numpy())
        sides = boxes[:, 2:] - boxes[:, :2]
        small = boxes[(sides <= self.sides).all(1)]
        small = small[np.argsort((small[:, 2:] - small[:, :2]).prod(1), kind="stable")]
        tiles, uncut = [], np.ones(len(boxes), bool)
        for shape in self.tiles:
            times = (sides // shape).prod(1)
            fits = uncut & (sides % shape == 0).all(1) & (times > 1) & (times <= self.max_proposals)
            tiles += [cut_into_tiles(box, shape) for box in boxes[fits]]
            uncut &= ~fits
        proposals = np.concatenate([small, *sorted(tiles, key=len)])
        return torch.from_numpy(proposals[: self.max_proposals].astype(np.float32)).to(image.device)


def regions(image: np.ndarray) -> np.ndarray:
    """Find the boxes of all 4-connected regions of equal color, in no order. image: (C, H, W) uint8 -> (M, 4) int64.

    Rows are split into runs of one color; touching runs of neighboring rows take the lower label until none changes.
    """
    height, width = image.shape[1:]
    color = np.zeros((height, width), np.int64)
    for channel in image:
        color = 256 * color + channel
    begins = np.ones((height, width), bool)
    begins[:, 1:] = color[:, 1:] != color[:, :-1]
    run = np.cumsum(begins).reshape(height, width) - 1  # the number of each pixel's run
    first = np.flatnonzero(begins)
    last = np.r_[first[1:], height * width]
    touching = (color[1:] == color[:-1]) & (begins[1:] | begins[:-1])  # once or twice for each pair of runs
    pairs = np.stack((run[:-1][touching], run[1:][touching]), 1)
    label = np.arange(len(first))
    while True:
        lowest = np.minimum(label[pairs[:, 0]], label[pairs[:, 1]])
        new = label.copy()
        for side in (0, 1):
            np.minimum.at(new, pairs[:, side], lowest)
            np.minimum.at(new, label[pairs[:, side]], lowest)  # also for all runs of the same label
        new = new[new]
        if (new == label).all():
            break
        label = new
    _, index = np.unique(label, return_inverse=True)
    count = int(index.max()) + 1
    low, high = np.full((count, 2), max(height, width)), np.zeros((count, 2), np.int64)
    row, left = first // width, first % width
    np.minimum.at(low, index, np.stack((left, row), 1))
    np.maximum.at(high, index, np.stack((left + last - first, row + 1), 1))
    return np.concatenate((low, high), 1)


def cut_into_tiles(box: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Split a box (4,) into tiles of `shape` (width, height) -> (M, 4)."""
    x, y = np.meshgrid(np.arange(box[0], box[2], shape[0]), np.arange(box[1], box[3], shape[1]))
    return np.stack((x, y, x + shape[0], y + shape[1]), -1).reshape(-1, 4)
