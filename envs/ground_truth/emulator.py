"""Memory and screen of an Atari game, read from the emulator of its environment."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np


def ale_interface(env: gym.Env[Any, Any]) -> Any:
    """Return the ALE interface of an Atari environment."""
    return env.unwrapped.ale  # type: ignore[attr-defined]


def ram(env: gym.Env[Any, Any]) -> np.ndarray:
    """Return the RAM: (128,) int64, because positions are differences of bytes and must not wrap around."""
    content: np.ndarray = ale_interface(env).getRAM().astype(np.int64)
    return content


def palette_screen(env: gym.Env[Any, Any]) -> np.ndarray:
    """Return the screen: (H, W) uint8 palette indices, of the same frame as the RAM."""
    screen: np.ndarray = ale_interface(env).getScreen()
    return screen


def rgb_image(env: gym.Env[Any, Any]) -> np.ndarray:
    """Return the image: (H, W, 3) uint8 RGB, of the same frame as the RAM."""
    image: np.ndarray = ale_interface(env).getScreenRGB()
    return image


def decimal_digits(byte: int) -> float:
    """Decode a byte of binary-coded decimal: two digits of four bits each."""
    return float(byte >> 4) * 10 + float(byte & 15)
