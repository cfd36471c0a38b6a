"""Standard view of an environment, by its observation space: stacks of pixels, or a vector of numbers."""

from __future__ import annotations

from typing import Any, TypeGuard

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium import wrappers as w

from envs.config import EnvConfig

SMALLEST_IMAGE = 32  # a uint8 array with a shorter side is a vector of numbers, not an image


class _CheckedShape(gym.ObservationWrapper[Any, Any, Any]):
    """Rejects an observation whose shape differs from the space, before scaling or flattening hides it."""

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        super().__init__(env)
        self._expected = env.observation_space.shape  # asked for once: wrappers pass the question on, one by one

    def observation(self, observation: Any) -> Any:
        shape = observation.shape if isinstance(observation, np.ndarray) else np.shape(observation)
        if shape != self._expected:
            raise ValueError(f"an observation has shape {shape}, its space {self._expected}")
        return observation


def standard_view(env: gym.Env[Any, Any], config: EnvConfig) -> gym.Env[Any, Any]:
    """Wrap a non-Atari environment to show pixels (S*C, H, W) uint8 or a vector (D,) float32, by its observation space.

    Parts of an observation without numbers (MiniGrid's mission, in words) are left out. Discrete actions count from 0,
    whatever the first action of the environment is.
    """
    if isinstance(env.action_space, spaces.Discrete) and env.action_space.start != 0:
        start, actions = int(env.action_space.start), spaces.Discrete(int(env.action_space.n))
        env = w.TransformAction(env, lambda action: action + start, actions)
    space = env.observation_space
    if isinstance(space, spaces.Box):
        env = _CheckedShape(env)
    if _is_image(space):
        if config.grayscale and space.shape[-1] == 3:
            env = w.GrayscaleObservation(env)
        env = w.ResizeObservation(env, (config.image_size, config.image_size))
        return stacked(env, config)
    if isinstance(space, spaces.Dict):
        env = w.FilterObservation(env, [key for key, part in space.items() if _has_numbers(part)])
    if not (isinstance(space, spaces.Box) and len(space.shape) == 1):
        env = w.FlattenObservation(env)
    if not isinstance(env.observation_space, spaces.Box):
        raise ValueError(
            f"env {env.spec.id if env.spec else env}: observations {space} cannot be flattened to a vector"
        )
    if env.observation_space.dtype != np.float32:
        space = env.observation_space
        with np.errstate(over="ignore"):  # bounds beyond float32 become infinite
            box = spaces.Box(space.low.astype(np.float32), space.high.astype(np.float32), dtype=np.float32)
        env = w.TransformObservation(env, lambda obs: np.asarray(obs, dtype=np.float32), box)
    return env


def _has_numbers(space: spaces.Space[Any]) -> bool:
    """Return whether Gymnasium can flatten a part of an observation: not text, nor a custom space."""
    try:
        spaces.utils.flatten_space(space)
    except NotImplementedError:
        return False
    return True


def _is_image(space: spaces.Space[Any]) -> TypeGuard[spaces.Box]:
    if not (isinstance(space, spaces.Box) and space.dtype == np.uint8):
        return False
    gray_or_channels_last = len(space.shape) == 2 or (len(space.shape) == 3 and space.shape[-1] in (1, 3))
    return gray_or_channels_last and min(space.shape[:2]) >= SMALLEST_IMAGE


def stacked(env: gym.Env[Any, Any], config: EnvConfig) -> gym.Env[Any, Any]:
    """Stack the last frames of an environment of images: (S*C, H, W), oldest first, zeros before the first."""
    env = w.FrameStackObservation(env, config.frame_stack, padding_type="zero")
    shape = env.observation_space.shape
    assert shape is not None
    if len(shape) == 3:  # (S, H, W): gray already
        return env
    space = spaces.Box(0, 255, channels_first(np.zeros(shape, np.uint8)).shape, np.uint8)
    return w.TransformObservation(env, channels_first, space)


def channels_first(stack: np.ndarray) -> np.ndarray:
    """Move channels into the stack: (..., S, H, W, C) -> (..., S*C, H, W)."""
    *lead, s, h, width, c = stack.shape
    return np.moveaxis(stack, -1, -3).reshape(*lead, s * c, h, width)
