"""Texture from patches: squares of a picture laid side by side, each overlap cut where the two differ least.

Source: Efros & Freeman 2001, "Image quilting for texture synthesis and transfer", section 2.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch.nn import functional as F

from rl_gen_lab.cli.errors import ConfigError


def minimal_cut(errors: np.ndarray) -> np.ndarray:
    """Return the path from the top to the bottom row whose sum is least, as a column of each row, (H,) int64.

    errors: (H, W). The path moves by at most one column from row to row. Source: section 2.1, by dynamic programming.
    """
    height, width = errors.shape
    costs = errors.astype(np.float64)
    for row in range(1, height):
        padded = np.pad(costs[row - 1], 1, constant_values=np.inf)
        costs[row] += np.minimum(np.minimum(padded[:-2], padded[1:-1]), padded[2:])
    path = np.empty(height, np.int64)
    path[-1] = costs[-1].argmin()
    for row in range(height - 2, -1, -1):
        low = max(path[row + 1] - 1, 0)
        path[row] = low + costs[row, low : min(path[row + 1] + 2, width)].argmin()
    return path


def kept_of_new(old: np.ndarray, new: np.ndarray, overlap: int, left: bool, above: bool) -> np.ndarray:
    """Return which pixels a new patch gives, (P, P) bool, where it overlaps what is there. old, new: (P, P, 3) float.

    Up to each cut the old pixels stay; where both cuts meet, a pixel is new only if it lies beyond both.
    """
    errors = np.square(old - new).sum(2)
    size = len(errors)
    kept = np.ones((size, size), bool)
    if left:
        kept &= np.arange(size) >= minimal_cut(errors[:, :overlap])[:, None]
    if above:
        kept &= (np.arange(size) >= minimal_cut(errors[:overlap].T)[:, None]).T
    return kept


def quilt(
    source: np.ndarray,
    height: int,
    width: int,
    *,
    patch: int = 24,
    overlap: int = 8,
    tolerance: float = 0.1,
    seed: int = 0,
    on_patch: Callable[[int, int], None] = lambda done, total: None,
) -> np.ndarray:
    """Return a picture (height, width, 3) uint8 of patches of the source (H, W, 3) uint8.

    Each patch is drawn from those whose overlap differs by at most 1 + tolerance times the least difference.
    on_patch: gets the number of patches laid, and of all. Raises: ConfigError where no patch fits into the source.
    """
    if min(source.shape[:2]) < patch:
        tall, wide = source.shape[:2]
        raise ConfigError(f"a picture of {wide} x {tall} pixels has no patch of {patch}: at most {min(tall, wide)}")
    if overlap >= patch:
        raise ConfigError(f"patches of {patch} pixels overlap by less than {patch}, not by {overlap}")
    rng = np.random.default_rng(seed)
    pixels = torch.from_numpy(source.astype(np.float32) / 255).permute(2, 0, 1)[None]
    step = patch - overlap
    tops, lefts = (range(0, max(side - overlap, 1), step) for side in (height, width))
    canvas = np.zeros((tops[-1] + patch, lefts[-1] + patch, 3), np.float32)
    for number, (top, left) in enumerate((top, left) for top in tops for left in lefts):
        place = canvas[top : top + patch, left : left + patch]
        mask = np.zeros((patch, patch), bool)
        mask[:, :overlap] |= left > 0
        mask[:overlap] |= top > 0
        errors = overlap_errors(pixels, place, mask)
        rows, columns = np.nonzero(errors <= (1 + tolerance) * errors.min() + 1e-9)
        drawn = rng.integers(len(rows))
        y, x = int(rows[drawn]), int(columns[drawn])
        new = source[y : y + patch, x : x + patch].astype(np.float32) / 255
        kept = kept_of_new(place, new, overlap, left > 0, top > 0)
        place[kept] = new[kept]
        on_patch(number + 1, len(tops) * len(lefts))
    result: np.ndarray = (255 * canvas[:height, :width]).round().astype(np.uint8)
    return result


def overlap_errors(pixels: torch.Tensor, place: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return the squared differences of every patch of a picture to a place, under a mask, (H - P + 1, W - P + 1).

    pixels: (1, 3, H, W) float32; place: (P, P, 3); mask: (P, P) bool.
    """
    weight = torch.from_numpy(mask.astype(np.float32))
    wanted = torch.from_numpy(place).permute(2, 0, 1) * weight
    squares = F.conv2d(pixels.square().sum(1, keepdim=True), weight[None, None])
    products = F.conv2d(pixels, wanted[None])
    errors: np.ndarray = (squares - 2 * products + wanted.square().sum())[0, 0].clamp(min=0).numpy()
    return errors
