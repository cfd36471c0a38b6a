"""Probe environments of small images: where a cell lies must be read, whatever the layout of the image is.

gymnasium.make_vec("envs.probes.pictures:Pictures/Quarter-v0", 4)
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

QUARTER = f"{__name__}:Pictures/Quarter-v0"


class Quarter(gym.Env[Any, np.int64]):
    """A cell is lit in each channel; the action names the quarter in which that of channel 0 lies.

        cells shown --reward 1 if the action is right, else 0--> others --...--> end after ten

    Observations are images of `size` x `size` cells, as in MinAtar (H, W, C) bool. layout: "last", "first" (C, H, W)
    or "dict" (the image beside a number); dtype: bool, float32 in [0, 1] or uint8 in [0, 255].
    Optimal: reward 1 at each step, a return of 10. On average blind play has 2.5, and so has play by the other channel;
    play that swaps rows and columns has 5.
    """

    EPISODE_STEPS = 10
    action_space = spaces.Discrete(4)

    def __init__(self, size: int = 10, channels: int = 2, layout: str = "last", dtype: str = "bool") -> None:
        self.size, self.channels, self.layout, self.dtype = size, channels, layout, np.dtype(dtype)
        shape = (channels, size, size) if layout == "first" else (size, size, channels)
        image = spaces.Box(0, 255 if dtype == "uint8" else 1, shape, self.dtype.type)
        self.observation_space: spaces.Space[Any] = image
        if layout == "dict":
            self.observation_space = spaces.Dict({"channels": spaces.Box(0, 99, (1,), np.float32), "picture": image})

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Show the first cells."""
        super().reset(seed=seed, options=options)
        self.steps = 0
        return self._draw(), {}

    def step(self, action: np.int64) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Reward the right quarter, and show other cells."""
        row, column = self.cells[0]
        right = 2 * int(row >= self.size / 2) + int(column >= self.size / 2)
        self.steps += 1
        return self._draw(), float(int(action) == right), self.steps == self.EPISODE_STEPS, False, {}

    def _draw(self) -> Any:
        self.cells = self.np_random.integers(self.size, size=(self.channels, 2))
        image = np.zeros((self.size, self.size, self.channels), self.dtype)
        image[self.cells[:, 0], self.cells[:, 1], range(self.channels)] = 255 if self.dtype == np.uint8 else 1
        if self.layout == "first":
            return np.moveaxis(image, -1, 0)
        return image if self.layout == "last" else {"channels": np.full(1, self.channels, np.float32), "picture": image}


gym.register("Pictures/Quarter-v0", entry_point=f"{__name__}:Quarter")
