"""Where an object might be, without learning: regions of one colour.

A proposal is the box of a 4-connected region of equal colour no larger than objects are. A region into which a common
shape of objects fits a whole number of times, and more than once, is cut into tiles of that shape as well (the largest
such shape): bricks of one colour that touch are one region. What this cannot find: an object that touches another of
its colour, and one of several colours or with shading; every evaluation says how many are found
(`proposal_recall`). It is far simpler than the method of the paper, and made for pictures that a program has drawn.
Source of the role: Girshick et al. 2014, "Rich feature hierarchies", section 2.1 (there: Uijlings et al. 2013).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


class ColourRegions:
    """Proposals for a picture. sides: (2,) longest width and height [px]; shapes: (A, 2) common widths and heights."""

    def __init__(self, sides: Tensor, shapes: Tensor, most: int) -> None:
        self.sides, self.most = sides.numpy(), most
        sizes = {(round(w), round(h)) for w, h in shapes.tolist()}
        self.tiles = sorted(sizes, key=lambda size: -size[0] * size[1])

    def __call__(self, image: Tensor) -> Tensor:
        """image: (C, H, W) uint8 -> (M, 4) float32, at most `most`: whole regions, small ones first, then tiles."""
        boxes = regions(image.cpu().numpy())
        sides = boxes[:, 2:] - boxes[:, :2]
        whole = boxes[(sides <= self.sides).all(1)]
        whole = whole[np.argsort((whole[:, 2:] - whole[:, :2]).prod(1), kind="stable")]
        found, uncut = [whole], np.ones(len(boxes), bool)
        for shape in self.tiles:
            times = (sides // shape).prod(1)
            fits = uncut & (sides % shape == 0).all(1) & (times > 1) & (times <= self.most)
            found += [cut(box, shape) for box in boxes[fits]]
            uncut &= ~fits
        found[1:] = sorted(found[1:], key=len)
        return torch.from_numpy(np.concatenate(found)[: self.most].astype(np.float32)).to(image.device)


def regions(image: np.ndarray) -> np.ndarray:
    """Boxes of all 4-connected regions of equal colour, in no particular order. image: (C, H, W) uint8 -> (M, 4) int64.

    Rows are cut into runs of one colour; runs that touch those of the row above take over the lowest number until
    nothing changes.
    """
    height, width = image.shape[1:]
    colour = np.zeros((height, width), np.int64)
    for channel in image:
        colour = 256 * colour + channel
    begins = np.ones((height, width), bool)
    begins[:, 1:] = colour[:, 1:] != colour[:, :-1]
    run = np.cumsum(begins).reshape(height, width) - 1  # of every pixel, the number of its run
    first = np.flatnonzero(begins)
    last = np.r_[first[1:], height * width]
    touching = (colour[1:] == colour[:-1]) & (begins[1:] | begins[:-1])  # once for each pair of runs, or twice
    pairs = np.stack((run[:-1][touching], run[1:][touching]), 1)
    label = np.arange(len(first))
    while True:
        lowest = np.minimum(label[pairs[:, 0]], label[pairs[:, 1]])
        new = label.copy()
        for side in (0, 1):
            np.minimum.at(new, pairs[:, side], lowest)
            np.minimum.at(new, label[pairs[:, side]], lowest)  # whoever had that number gets the lower one, too
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


def cut(box: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Tiles of `shape` (width, height) that make up a box (4,) -> (M, 4)."""
    x, y = np.meshgrid(np.arange(box[0], box[2], shape[0]), np.arange(box[1], box[3], shape[1]))
    return np.stack((x, y, x + shape[0], y + shape[1]), -1).reshape(-1, 4)
