"""Environments that count their steps, registered while a context is open."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from agents.rl.interfaces import Step
from agents.training.env_runner import VectorEnvRunner


class Counter(gym.Env[Any, Any]):
    """Shows how many steps were taken; action 0 pays 3, action 1 pays -5; ends by itself after `length` steps.

    `bad`: what goes wrong at step `at` of an episode (0: at its reset).
    """

    metadata = {"render_modes": []}

    def __init__(self, length: int = 4, truncates: bool = False, bad: str = "", at: int = 3) -> None:
        self.observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float32)
        self.action_space = spaces.Discrete(2)
        self.length, self.truncates, self.bad, self.at = length, truncates, bad, at
        self.episode = -1

    def _observation(self) -> np.ndarray:
        if self.bad and self.steps == self.at:
            if self.bad == "raises":
                raise ZeroDivisionError("the physics exploded")
            if self.bad == "shape":
                return np.zeros(3, np.float32)
            if self.bad == "nan observation":
                return np.array([np.nan, 0.0], np.float32)
        return np.array([self.steps, self.episode], np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.steps = 0
        self.episode += 1
        return self._observation(), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
        self.steps += 1
        reward = -5.0 if action else 3.0
        if self.steps == self.at:
            reward = {"nan reward": np.nan, "infinite reward": -np.inf}.get(self.bad, reward)
        over = self.steps >= self.length
        return self._observation(), reward, over and not self.truncates, over and self.truncates, {}


class Lottery(gym.Env[Any, Any]):
    """Episodes of one to nine steps, longer ones rarer the longer; each step pays 1, or 2 for action 1."""

    observation_space = spaces.Box(0, 1, (1,), np.float32)
    action_space = spaces.Discrete(2)
    metadata = {"render_modes": []}

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.left = int(self.np_random.integers(1, 10))
        return np.zeros(1, np.float32), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
        self.left -= 1
        return np.zeros(1, np.float32), 1.0 + action, self.left == 0, False, {}


@contextmanager
def registered() -> Iterator[None]:
    counter, lottery = f"{__name__}:Counter", f"{__name__}:Lottery"
    gym.register("test/Counter-v0", entry_point=counter)
    gym.register("test/Truncates-v0", entry_point=counter, kwargs={"truncates": True})
    gym.register("test/Lottery-v0", entry_point=lottery)
    try:
        yield
    finally:
        for name in ("Counter", "Truncates", "Lottery", "Bad"):
            gym.registry.pop(f"test/{name}-v0", None)


def actions_of(rollout: VectorEnvRunner, chance: np.random.Generator) -> np.ndarray:
    space = rollout.action_space
    assert isinstance(space, spaces.Discrete)
    return chance.integers(space.n, size=rollout.num_envs)


def assert_same_step(one: Step, two: Step) -> None:
    for name in vars(one):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name), err_msg=name)
