"""Texture pixel by pixel: each new pixel is that of a place of the picture whose surroundings are alike.

Source: Efros & Leung 1999, "Texture synthesis by non-parametric sampling", section 3.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from rl_gen_lab.cli.errors import ConfigError

SEED_SIDE = 3  # pixels of the piece that growth starts from
ERROR = 0.1  # of a match, over the best one
WIDTH = 6.4  # window over the standard deviation of the weights


def grow(
    source: np.ndarray,
    height: int,
    width: int,
    *,
    window: int = 11,
    tolerance: float = ERROR,
    seed: int = 0,
    on_pixel: Callable[[int, int], None] = lambda done, total: None,
) -> np.ndarray:
    """Return a picture (height, width, 3) uint8, grown around a random piece of the source (H, W, 3) uint8.

    window: an odd number of pixels, which should hold the largest regular feature of the texture. Of the places whose
    surroundings differ by at most 1 + tolerance times the least difference (weighted by a Gaussian), one is drawn.
    on_pixel: gets the number of pixels made, and of all. Raises: ConfigError where no window fits into the source.
    """
    if min(source.shape[:2]) < window:
        tall, wide = source.shape[:2]
        raise ConfigError(f"a picture of {wide} x {tall} pixels has no window of {window}: at most {min(tall, wide)}")
    if window % 2 == 0:
        raise ConfigError(f"a window has a pixel in its middle: {window + 1} instead of {window}")
    rng, half = np.random.default_rng(seed), window // 2
    patches = np.lib.stride_tricks.sliding_window_view(source.astype(np.float32) / 255, (window, window), (0, 1))
    patches = patches.transpose(0, 1, 3, 4, 2).reshape(-1, window * window, 3)
    centers = source[half : len(source) - half, half : source.shape[1] - half].reshape(-1, 3)
    flat = np.ascontiguousarray(patches.reshape(len(patches), -1))
    squares = np.square(patches).sum(2)
    line = np.exp(-0.5 * np.square((np.arange(window) - half) * WIDTH / window))
    weights = np.outer(line, line).astype(np.float32)

    canvas = np.zeros((height + 2 * half, width + 2 * half, 3), np.float32)
    filled = np.zeros(canvas.shape[:2], bool)
    done = _plant(source, canvas, filled, half, (height, width), rng)
    total = height * width
    while done < total:
        for y, x in _frontier(filled, half, rng):
            around = np.s_[y - half : y + half + 1, x - half : x + half + 1]
            mask = (weights * filled[around]).reshape(-1)
            wanted = canvas[around].reshape(-1, 3) * mask[:, None]
            errors = squares @ mask - 2 * (flat @ wanted.reshape(-1)) + (wanted * canvas[around].reshape(-1, 3)).sum()
            near = np.nonzero(errors <= (1 + tolerance) * max(float(errors.min()), 0.0) + 1e-5 * mask.sum())[0]
            canvas[y, x] = centers[near[rng.integers(len(near))]] / 255
            filled[y, x] = True
            done += 1
            on_pixel(done, total)
    result: np.ndarray = (255 * canvas[half : half + height, half : half + width]).round().astype(np.uint8)
    return result


def _plant(
    source: np.ndarray,
    canvas: np.ndarray,
    filled: np.ndarray,
    half: int,
    size: tuple[int, int],
    rng: np.random.Generator,
) -> int:
    """Lay a random piece of the source into the middle; return its pixels."""
    tall, wide = (min(SEED_SIDE, side) for side in size)
    y, x = (int(rng.integers(side - SEED_SIDE + 1)) for side in source.shape[:2])
    top, left = half + (size[0] - tall) // 2, half + (size[1] - wide) // 2
    canvas[top : top + tall, left : left + wide] = source[y : y + tall, x : x + wide].astype(np.float32) / 255
    filled[top : top + tall, left : left + wide] = True
    return tall * wide


def _frontier(filled: np.ndarray, half: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Return the empty pixels beside filled ones, those with the most filled neighbors first, ties by chance."""
    near = np.zeros(filled.shape, np.int64)
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            near += np.roll(filled, (dy, dx), (0, 1))
    near[filled] = 0
    inside = np.zeros(filled.shape, bool)
    inside[half : filled.shape[0] - half, half : filled.shape[1] - half] = True
    rows, columns = np.nonzero((near > 0) & inside)
    order = np.lexsort((rng.random(len(rows)), -near[rows, columns]))
    return list(zip(rows[order].tolist(), columns[order].tolist(), strict=True))
