"""Masks of COCO's three encodings as arrays: run lengths as text, run lengths as numbers, polygons.

Source: Lin et al. 2014, "Microsoft COCO"; the text form is that of the authors' maskApi.c (rleFrString). Polygons
are rasterized by that file's code (rleFrPoly), in faster-coco-eval.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from rl_gen_lab.data.records import as_number, short

MAX_OUTLINE = 2_000_000  # pixels: length of a polygon's outline, and distance from the image
LONGEST_RUN_BITS = 60  # of a single run length
CACHED_PIXELS = 100_000  # of an image up to which its masks are kept: sprites recur, and are many


def decode(segmentation: Any, height: int, width: int) -> np.ndarray:
    """Decode an annotation's `segmentation` into a mask (H, W) bool. Raises ValueError for another encoding."""
    if isinstance(segmentation, list):
        return _from_polygons(segmentation, height, width)
    if not isinstance(segmentation, dict) or segmentation.get("size") not in ([height, width], (height, width)):
        raise ValueError(f"its segmentation is not of the image's size {height} x {width}")
    counts = segmentation.get("counts")
    if isinstance(counts, str):
        make = _from_text if height * width <= CACHED_PIXELS else _from_text.__wrapped__
        return make(counts, height, width)
    if not isinstance(counts, list) or not all(type(count) is int for count in counts):
        raise ValueError("its segmentation has no counts: neither text nor a list of whole numbers")
    return _from_counts(tuple(counts), height, width)


def run_lengths_from_text(text: str) -> list[int]:
    """Decode run lengths: five bits a letter; from the fourth length on, the difference to the one two before."""
    counts: list[int] = []
    value = shift = 0
    for letter in text:
        bits = ord(letter) - 48
        if not 0 <= bits < 64 or shift > LONGEST_RUN_BITS:
            raise ValueError(f"its run lengths hold {letter!r}, which is not of their alphabet or one too many")
        value |= (bits & 0x1F) << shift
        shift += 5
        if not bits & 0x20:
            if bits & 0x10:
                value -= 1 << shift
            counts.append(value + counts[-2] if len(counts) > 2 else value)
            value = shift = 0
    if shift:
        raise ValueError("its run lengths were cut short")
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


def _from_polygons(polygons: list[Any], height: int, width: int) -> np.ndarray:
    numbers = [_polygon(polygon) for polygon in polygons]
    from faster_coco_eval.core import mask as coco_masks  # late: it imports OpenCV where that is installed

    parts = coco_masks.frPyObjects(numbers, height, width)
    mask: np.ndarray = coco_masks.decode(coco_masks.merge(parts)).astype(bool)
    return mask


def _polygon(polygon: Any) -> list[float]:
    """Check a polygon. Its rasterization takes time and memory in proportion to the length of its outline."""
    if not isinstance(polygon, list):
        raise ValueError(f"its segmentation holds {short(polygon)} instead of a polygon, a list of numbers")
    if len(polygon) < 6 or len(polygon) % 2:
        raise ValueError("a polygon has fewer than three points, or a point of one number")
    numbers = [as_number(value) for value in polygon]
    if None in numbers:
        raise ValueError(f"{short(polygon[numbers.index(None)])} in a polygon is not a number, or too large for one")
    points = np.array(numbers).reshape(-1, 2)
    outline = float(np.abs(points - np.roll(points, 1, 0)).max(1).sum())
    if np.abs(points).max() > MAX_OUTLINE or outline > MAX_OUTLINE:
        raise ValueError(f"a polygon reaches farther than {MAX_OUTLINE:,} pixels")
    return points.ravel().tolist()
