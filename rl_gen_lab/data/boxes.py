"""Validation of annotated boxes: clipping to the image, and detection of other box formats."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Box = tuple[float, float, float, float]  # x1, y1, x2, y2 [px]
MIN_SIDE = 0.01  # pixels: of a box that is more than a slip of the hand
FEW = 10  # boxes up to which nothing is said about their format


def clip(box: Box, width: int, height: int) -> Box | None:
    """Clip a box to its image; None where nothing is left of it."""
    x1, y1, x2, y2 = box
    x1, x2, y1, y2 = max(x1, 0.0), min(x2, float(width)), max(y1, 0.0), min(y2, float(height))
    return (x1, y1, x2, y2) if min(x2 - x1, y2 - y1) >= MIN_SIDE else None


def other_format(boxes: Sequence[Box], width: int, height: int) -> str | None:
    """Return the format in which these boxes were probably written instead of COCO's, None where nothing says so.

    boxes: read as x, y, width, height, of images of `width` x `height`. Corners x1, y1, x2, y2 that are taken for them
    reach beyond most images; fractions of the image lie in its first pixel.
    """
    if len(boxes) < FEW:
        return None
    x1, y1, x2, y2 = np.array(boxes).T
    if max(x2.max(), y2.max()) <= 1 < min(width, height):
        return "fractions of the image"
    are_corners = (x2 - x1 > x1) & (y2 - y1 > y1) & (x2 - x1 <= width) & (y2 - y1 <= height)
    beyond = (x2 > width + 1) | (y2 > height + 1)
    return "corners x1, y1, x2, y2" if are_corners.all() and beyond.mean() > 0.5 else None
