"""Detection of image observations, and their conversion to uint8 (H, W, C).

An image is a Box of bytes, of truth values, or of floats between 0 and 1 (or 0 and 255), with

- three axes: height, width, and channels as the last axis or the first. Of two equal neighbors the third axis is the
  channels', (4, 84, 84); otherwise the shorter end, (3, 40, 50); between equal ends the last, Gymnasium's convention.
- two axes: height and width. Small tables of floats are no images.

Height and width are at least `SMALLEST_IMAGE`: smaller arrays are tables or codes, as MiniGrid's 7x7x3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium import wrappers as w

SMALLEST_IMAGE = 8
SMALLEST_FRAME = 32  # smaller images keep their size and channels: there a pixel is a cell, a channel a kind of thing
CHANNELS_AT_ONCE = 4  # what OpenCV scales in one call


@dataclass(frozen=True)
class ImageFormat:
    """The layout of an image observation. first: its channels are its first axis; top: the maximum pixel value.

    dtype: the type of its space, which what is observed may not have.
    """

    height: int
    width: int
    channels: int
    axes: int
    first: bool
    top: float
    dtype: np.dtype[Any]

    @property
    def small(self) -> bool:
        """Return whether it keeps its size and its channels."""
        return min(self.height, self.width) < SMALLEST_FRAME

    def in_bytes(self, env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
        """Wrap an environment of such images to show bytes, (H, W, C) or (H, W)."""
        shape = (self.height, self.width, self.channels)[: self.axes]
        own = self.top == 255 and not self.first and self.dtype == np.uint8
        space = env.observation_space if own else spaces.Box(0, 255, shape, np.uint8)
        return w.TransformObservation(env, self.to_bytes, space)

    def to_bytes(self, observation: Any) -> np.ndarray:
        """Return an observation as bytes, (H, W, C) or (H, W). Raises: ValueError for one outside its space."""
        image = np.asarray(observation)
        if image.dtype != np.uint8 or self.top != 255:
            if self.dtype == np.uint8 and image.dtype.kind not in "biu":  # from 0 to 1 they would all be black
                raise ValueError(f"an observation holds {image.dtype}, its space uint8: give bytes or change the space")
            low, high, scale = image.min(), image.max(), 255 / self.top
            if not (low * scale > -0.5 and high * scale < 255.5):  # what rounds to a byte; NaN is neither
                raise ValueError(f"an observation holds {low} to {high}, its space 0 to {self.top:g}")
            image = np.rint(image * scale).astype(np.uint8)
        return np.ascontiguousarray(np.moveaxis(image, 0, -1)) if self.first else image

    def __str__(self) -> str:
        """Say what it is, in words."""
        channels = "" if self.channels == 1 else f" of {self.channels} channels" + (" (its first axis)" * self.first)
        return f"a picture of {self.height}x{self.width}{channels}"


def image_format(space: spaces.Space[Any]) -> ImageFormat | None:
    """Return how an observation is read as an image; None if it is none."""
    if not isinstance(space, spaces.Box) or len(space.shape) not in (2, 3) or not all(space.shape):
        return None
    first = len(space.shape) == 3 and _channels_first(*space.shape)
    height, width = space.shape[1:] if first else space.shape[:2]
    channels = 1 if len(space.shape) == 2 else space.shape[0 if first else 2]
    table = len(space.shape) == 2 and np.issubdtype(space.dtype, np.floating)
    top = _top(space, min(height, width) < SMALLEST_FRAME)
    if top is None or min(height, width) < (SMALLEST_FRAME if table else SMALLEST_IMAGE):
        return None
    return ImageFormat(height, width, channels, len(space.shape), first, top, np.dtype(space.dtype))


def _channels_first(a: int, b: int, c: int) -> bool:
    if (a == b) != (b == c):
        return b == c
    return a < c


def _top(space: spaces.Box, small: bool) -> float | None:
    """Return the maximum pixel value; None for spaces that are no image."""
    if space.dtype == np.bool_:
        return 1.0
    low, high = float(space.low.min()), float(space.high.max())
    if space.dtype == np.uint8:
        return (high or None) if small else 255.0  # the codes of a grid may end anywhere
    return high if np.issubdtype(space.dtype, np.floating) and low == 0 and high in (1, 255) else None


def scaled(env: gym.Env[Any, Any], size: int) -> gym.Env[Any, Any]:
    """Scale images of bytes to `size` x `size`, whatever the number of their channels."""
    shape = env.observation_space.shape
    assert shape is not None
    if len(shape) == 2 or shape[2] <= CHANNELS_AT_ONCE:
        return w.ResizeObservation(env, (size, size))
    import cv2  # here, so that --help needs none of it

    parts = range(CHANNELS_AT_ONCE, shape[2], CHANNELS_AT_ONCE)

    def scale(image: np.ndarray) -> np.ndarray:
        some = (np.ascontiguousarray(part) for part in np.split(image, parts, axis=2))
        return np.dstack([cv2.resize(part, (size, size), interpolation=cv2.INTER_AREA) for part in some])

    return w.TransformObservation(env, scale, spaces.Box(0, 255, (size, size, shape[2]), np.uint8))
