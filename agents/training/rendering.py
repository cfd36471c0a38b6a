"""Conversion of `render()` output to RGB frames of one size, for videos."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image, ImageOps

from rl_gen_lab.cli.errors import UserError


class NoFrameError(UserError):
    """The output of `render()` is no image; the message says what it is."""


def rgb_frame(rendered: Any) -> np.ndarray:
    """Return what `render()` returned as an image (H, W, 3) uint8.

    Taken are RGB, RGBA (without its transparency) and gray images, channels last or first, of bytes, of floats in
    [0, 1] or [0, 255], or bool; of a list of frames the last one. Raises: NoFrameError.
    """
    if isinstance(rendered, list | tuple) and rendered and isinstance(rendered[-1], np.ndarray):
        rendered = rendered[-1]
    try:
        image = np.asarray(rendered)
    except ValueError as error:  # rows of different lengths
        raise NoFrameError(f"its render() returned no array: {error}") from error
    if image.ndim == 3 and image.shape[0] in (1, 3, 4) and image.shape[-1] not in (1, 3, 4):
        image = np.moveaxis(image, 0, -1)
    if image.ndim == 2:
        image = image[..., None]
    if image.ndim != 3 or image.shape[-1] not in (1, 3, 4) or 0 in image.shape or image.dtype.kind not in "buif":
        what = type(rendered).__name__ if not image.ndim else f"an array of shape {image.shape}, {image.dtype}"
        raise NoFrameError(f"its render() returned {what}, no image (H, W, 3)")
    return np.ascontiguousarray(np.broadcast_to(_bytes(image[..., :3]), (*image.shape[:2], 3)))


def _bytes(image: np.ndarray) -> np.ndarray:
    """Return an image as uint8 in [0, 255]."""
    if image.dtype == np.uint8:
        return image
    numbers = np.nan_to_num(image.astype(np.float64))
    if image.dtype.kind == "b" or (image.dtype.kind == "f" and numbers.max() <= 1.0):
        numbers = 255.0 * numbers
    return np.rint(np.clip(numbers, 0.0, 255.0)).astype(np.uint8)


def fitted(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return an image (H, W, 3) uint8 scaled into height x width, black beside it where its proportions differ.

    The frames of a video have one size, those of an environment may grow.
    """
    if image.shape[:2] == (height, width):
        return image
    return np.asarray(ImageOps.pad(Image.fromarray(image), (width, height), Image.Resampling.NEAREST))
