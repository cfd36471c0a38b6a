"""Drawn worlds: shapes with smooth edges as claims, and their pictures as colour numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from envs.ground_truth.objects import Claim

Colour = tuple[int, int, int]
EDGE = 255  # the number of every mixed colour: smooth edges


def numbered(picture: np.ndarray, colours: Sequence[Colour]) -> np.ndarray:
    """A picture (H, W, 3) uint8 as (H, W) uint8: the place of each pixel's colour in `colours`, EDGE for others."""
    packed = _packed(picture.astype(np.uint32))
    found = np.full(packed.shape, EDGE, np.uint8)
    for number, colour in enumerate(colours):
        found[packed == _packed(np.array(colour, np.uint32))] = number
    return found


def polygon(category: str, colour: int, points: Sequence[tuple[float, float]]) -> Claim:
    """A filled polygon of colour number `colour`, smooth edges included; points: x, y on the screen [px].

    Its edge may lie a pixel further out or further in than the points say.
    """
    xs, ys = [x for x, _ in points], [y for _, y in points]
    left, top = int(min(xs)) - 3, int(min(ys)) - 3
    size = int(max(xs)) + 4 - left, int(max(ys)) + 4 - top
    canvas = Image.new("1", size)
    ImageDraw.Draw(canvas).polygon([(x - left, y - top) for x, y in points], fill=1)
    drawn = np.array(canvas, dtype=bool)
    outer, inner = grown(drawn), ~grown(~drawn)
    missing = int(np.count_nonzero(outer) - np.count_nonzero(inner))
    return Claim(category, (left, top, *size), (colour, EDGE), missing, inside=outer)


def grown(mask: np.ndarray) -> np.ndarray:
    """A mask (H, W) bool with a rim of one pixel all around."""
    padded = np.pad(mask, 1)
    height, width = mask.shape
    found = np.zeros_like(mask)
    for dy in range(3):
        for dx in range(3):
            found |= padded[dy : dy + height, dx : dx + width]
    return found


def _packed(rgb: np.ndarray) -> np.ndarray:
    packed: np.ndarray = rgb[..., 0] << 16 | rgb[..., 1] << 8 | rgb[..., 2]
    return packed
