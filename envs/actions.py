"""Conversion of action spaces to four standard kinds, and of actions back."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium import wrappers as w


def standard_actions(env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
    """Wrap an environment so that its actions are of one of four kinds, and converted back to its own space.

    - `Discrete(n)` from 0 on, whatever the first action and the type of the environment's own are;
    - `MultiDiscrete` and `MultiBinary` of one axis, int64 from 0 on;
    - `Box` of floats, as it is; one of integers becomes a float64 one, and its actions are rounded.

    Other spaces (Tuple, Dict, ...) stay as they are: no agent takes them. Raises: ValueError for a space of no entries.
    """
    space: Any = env.action_space
    if isinstance(space, spaces.Box | spaces.MultiDiscrete | spaces.MultiBinary) and 0 in space.shape:
        raise ValueError(f"the action space {space} has no entries: there is nothing to choose")
    if isinstance(space, spaces.Discrete):
        if space.start == 0 and space.dtype == np.int64:
            return env
        kind, start = space.dtype.type, int(space.start)
        # Where the actions begin at 0 the space is left as it is: it is part of the task's fingerprint.
        standard = spaces.Discrete(int(space.n)) if start else space
        return w.TransformAction(env, lambda action: kind(int(action) + start), standard)
    if isinstance(space, spaces.MultiDiscrete):
        counts = space.nvec.astype(np.int64).ravel()

        def shifted(action: Any) -> np.ndarray:
            # In int64: neither a start below 0 nor a narrow type overflows on the way.
            own = np.asarray(action, np.int64).reshape(space.shape) + space.start.astype(np.int64)
            return own.astype(space.dtype)

        return w.TransformAction(env, shifted, spaces.MultiDiscrete(counts))
    if isinstance(space, spaces.MultiBinary):
        entries = spaces.MultiBinary(int(np.prod(space.shape)))
        return w.TransformAction(env, lambda action: np.asarray(action, space.dtype).reshape(space.shape), entries)
    if isinstance(space, spaces.Box):
        return _box(env, space)
    return env


def _box(env: gym.Env[Any, Any], space: spaces.Box) -> gym.Env[Any, Any]:
    if np.issubdtype(space.dtype, np.floating):
        if space.dtype == np.float32 and space.shape:
            return env  # agents choose in float32
        return w.TransformAction(env, lambda action: np.asarray(action, space.dtype), space)
    if not np.issubdtype(space.dtype, np.integer):
        return env
    low, high = space.low.astype(np.float64), space.high.astype(np.float64)

    def rounded(action: Any) -> np.ndarray:
        numbers = np.asarray(action, np.float64)
        # Bounds as wide as int64 are no floats: numbers at or beyond them are not converted.
        own = np.where(numbers >= high, space.high, space.low)
        inside = (numbers > low) & (numbers < high)
        own[inside] = np.rint(numbers[inside]).astype(space.dtype)
        return own

    return w.TransformAction(env, rounded, spaces.Box(low, high, dtype=np.float64))
