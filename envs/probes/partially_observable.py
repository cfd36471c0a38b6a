"""Partially observable environments: an agent needs a memory.

gymnasium.make_vec("envs.probes.partially_observable:CartPoleNoVelocity-v1", 4)
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.envs.classic_control import CartPoleEnv

NO_VELOCITY = f"{__name__}:CartPoleNoVelocity-v1"


class CartPoleNoVelocity(gym.ObservationWrapper[np.ndarray, Any, np.ndarray]):
    """CartPole-v1 with the position of the cart and the angle of the pole, (2,) float32, without their velocities.

    Source: the task of Wierstra et al. 2007, "Solving deep memory POMDPs with recurrent policy gradients", section 4.
    """

    metadata: dict[str, Any] = CartPoleEnv.metadata
    OBSERVED = (0, 2)

    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__(CartPoleEnv(render_mode=render_mode))
        space = self.env.observation_space
        assert isinstance(space, spaces.Box)
        observed = list(self.OBSERVED)
        self.observation_space = spaces.Box(space.low[observed], space.high[observed], dtype=np.float32)

    def observation(self, observation: np.ndarray) -> np.ndarray:
        """Drop the velocities, (4,) -> (2,)."""
        return observation[list(self.OBSERVED)]


gym.register("CartPoleNoVelocity-v1", entry_point=f"{__name__}:CartPoleNoVelocity", max_episode_steps=500)
