"""Environments that are rendered instead of emulated: their images, and antialiased shapes as claims."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from PIL import Image, ImageDraw

from envs.ground_truth.objects import Claim

Color = tuple[int, int, int]
EDGE = 255  # index of every mixed color: antialiased edges


class NoImageError(ValueError):
    """The environment was made without images, which its ground truth needs; the message says how to make it."""


def require_images(env: gym.Env[Any, Any]) -> None:
    """Raise NoImageError unless the environment renders RGB arrays."""
    if env.render_mode != "rgb_array":
        name = env.spec.id if env.spec is not None else "this environment"
        raise NoImageError(f'{name} renders no image: make it with gym.make("{name}", render_mode="rgb_array")')


def rendered_image(env: gym.Env[Any, Any]) -> np.ndarray:
    """Render the environment: (H, W, 3) uint8 RGB. Raises: NoImageError."""
    require_images(env)
    return np.asarray(env.render())


def color_indices(image: np.ndarray, colors: Sequence[Color]) -> np.ndarray:
    """Index an image (H, W, 3) uint8 by its colors: (H, W) uint8 positions in `colors`, EDGE for every other color."""
    packed = _packed(image.astype(np.uint32))
    indices = np.full(packed.shape, EDGE, np.uint8)
    for index, color in enumerate(colors):
        indices[packed == _packed(np.array(color, np.uint32))] = index
    return indices


def polygon(category: str, color: int, points: Sequence[tuple[float, float]]) -> Claim:
    """Claim a filled polygon of color index `color` with antialiased edges; points: x, y on the screen [px].

    Its edge may lie a pixel further out or further in than the points say.
    """
    xs, ys = [x for x, _ in points], [y for _, y in points]
    left, top = int(min(xs)) - 3, int(min(ys)) - 3
    size = int(max(xs)) + 4 - left, int(max(ys)) + 4 - top
    canvas = Image.new("1", size)
    ImageDraw.Draw(canvas).polygon([(x - left, y - top) for x, y in points], fill=1)
    filled = np.array(canvas, dtype=bool)
    outer, inner = dilated(filled), ~dilated(~filled)
    missing = int(np.count_nonzero(outer) - np.count_nonzero(inner))
    return Claim(category, (left, top, *size), (color, EDGE), missing, shape=outer)


def dilated(mask: np.ndarray) -> np.ndarray:
    """Dilate a mask (H, W) bool by one pixel in all eight directions."""
    padded = np.pad(mask, 1)
    height, width = mask.shape
    result = np.zeros_like(mask)
    for dy in range(3):
        for dx in range(3):
            result |= padded[dy : dy + height, dx : dx + width]
    return result


def _packed(rgb: np.ndarray) -> np.ndarray:
    packed: np.ndarray = rgb[..., 0] << 16 | rgb[..., 1] << 8 | rgb[..., 2]
    return packed
