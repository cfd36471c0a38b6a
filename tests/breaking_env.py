"""An environment that raises at its fifth step, known in every process by the name of its module."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np

BREAKS_AT = 5


class Breaks(gym.Env[Any, Any]):
    """Shows how many steps are taken."""

    observation_space, action_space = gym.spaces.Box(0.0, 9.0, (1,)), gym.spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.steps = 0
        return np.zeros(1, np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        if self.steps == BREAKS_AT:
            raise ValueError("the fifth step")
        return np.full(1, self.steps, np.float32), 0.0, False, False, {}


gym.register("Breaks-v0", entry_point=Breaks)
