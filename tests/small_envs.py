"""Small environments for tests: any observation space, and Atari settings without randomness."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gymnasium as gym
from gymnasium import spaces

# What ale-py's vector env and Gymnasium's wrappers agree on: no randomness of their own.
PLAIN: dict[str, Any] = {"sticky": 0.0, "noop_max": 0, "fire_reset": False}


class Tiny(gym.Env[Any, Any]):
    """Shows whatever its space is, counts its steps, and lasts five."""

    metadata = {"render_modes": []}

    def __init__(self, space: spaces.Space[Any], actions: spaces.Space[Any] | None = None) -> None:
        self.observation_space = space
        self.action_space = spaces.Discrete(3) if actions is None else actions
        self.actions: list[Any] = []

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
        self.steps = 0
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(action), action
        self.actions.append(action)
        self.steps += 1
        return self.observation_space.sample(), 1.0, self.steps >= 5, False, {}


class Words(spaces.Space[str]):
    """A space that Gymnasium cannot flatten, like MiniGrid's missions."""

    def __repr__(self) -> str:
        return "Words()"

    def sample(self, mask: Any = None, probability: Any = None) -> str:
        return "open the door"

    def contains(self, x: Any) -> bool:
        return isinstance(x, str)


@contextmanager
def registered(**kwargs: Any) -> Iterator[str]:
    gym.register("test/Tiny-v0", entry_point=f"{__name__}:Tiny", kwargs=kwargs)
    try:
        yield "test/Tiny-v0"
    finally:
        gym.registry.pop("test/Tiny-v0")
