"""Masks of COCO's three encodings as arrays: run lengths as text, run lengths as numbers, polygons.

Source: Lin et al. 2014, "Microsoft COCO"; the text form is that of the authors' maskApi.c (rleFrString).
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
from PIL import Image, ImageDraw


def decode(segmentation: Any, height: int, width: int) -> np.ndarray:
    """Decode an annotation's `segmentation` into a mask (H, W) bool. Raises ValueError for another encoding."""
    if isinstance(segmentation, list):
        return _from_polygons(segmentation, height, width)
    if not isinstance(segmentation, dict) or segmentation.get("size") not in ([height, width], (height, width)):
        raise ValueError(f"its segmentation is not of the image's size {height} x {width}")
    counts = segmentation.get("counts")
    if isinstance(counts, str):
        return _from_text(counts, height, width)
    if not isinstance(counts, list) or not all(isinstance(count, int) for count in counts):
        raise ValueError("its segmentation has no counts: neither text nor a list of whole numbers")
    return _from_counts(tuple(counts), height, width)


def run_lengths_from_text(text: str) -> list[int]:
    """Decode run lengths: five bits a letter; from the fourth length on, the difference to the one two before."""
    counts: list[int] = []
    value = shift = 0
    for letter in text:
        bits = ord(letter) - 48
        if not 0 <= bits < 64:
            raise ValueError(f"its run lengths hold {letter!r}")
        value |= (bits & 0x1F) << shift
        shift += 5
        if not bits & 0x20:
            if bits & 0x10:
                value -= 1 << shift
            counts.append(value + counts[-2] if len(counts) > 2 else value)
            value = shift = 0
    return counts


@functools.lru_cache(maxsize=4_096)
def _from_text(text: str, height: int, width: int) -> np.ndarray:
    return _from_counts(tuple(run_lengths_from_text(text)), height, width)


def _from_counts(counts: tuple[int, ...], height: int, width: int) -> np.ndarray:
    if any(count < 0 for count in counts) or sum(counts) != height * width:
        raise ValueError(f"its run lengths do not fill {height} x {width} pixels")
    runs = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    mask = runs.reshape(width, height).T  # COCO counts column by column
    mask.setflags(write=False)  # the cache shares it
    return mask


def _from_polygons(polygons: list[list[float]], height: int, width: int) -> np.ndarray:
    canvas = Image.new("1", (width, height))
    for polygon in polygons:
        if len(polygon) < 6 or len(polygon) % 2:
            raise ValueError("a polygon has fewer than three points")
        if not all(math.isfinite(value) for value in polygon):
            raise ValueError("a point of a polygon is not a number")
        ImageDraw.Draw(canvas).polygon(polygon, fill=1)
    return np.array(canvas, dtype=bool)
