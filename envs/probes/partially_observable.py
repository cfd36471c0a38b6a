"""Worlds that one observation does not tell whole: an agent needs a memory.

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
    """CartPole-v1 that shows the cart's position and the pole's angle, (2,) float32, but not how fast they change.

    Source: the task of Wierstra et al. 2007, "Solving deep memory POMDPs with recurrent policy gradients", section 4.
    """

    metadata: dict[str, Any] = CartPoleEnv.metadata
    SHOWN = (0, 2)

    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__(CartPoleEnv(render_mode=render_mode))
        whole = self.env.observation_space
        assert isinstance(whole, spaces.Box)
        shown = list(self.SHOWN)
        self.observation_space = spaces.Box(whole.low[shown], whole.high[shown], dtype=np.float32)

    def observation(self, observation: np.ndarray) -> np.ndarray:
        """(4,) -> (2,)."""
        return observation[list(self.SHOWN)]


gym.register("CartPoleNoVelocity-v1", entry_point=f"{__name__}:CartPoleNoVelocity", max_episode_steps=500)
