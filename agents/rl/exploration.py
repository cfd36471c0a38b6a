"""Epsilon-greedy exploration: one epsilon for each environment, and random actions that last several steps."""

from __future__ import annotations

from typing import Any

import numpy as np


def epsilon_ladder(epsilon: float, num_envs: int, exponent: float) -> np.ndarray:
    """Epsilon of each environment: epsilon^(1 + exponent * i / (N - 1)); exponent 0 gives all the same.

    Source: Horgan et al. 2018, "Distributed prioritized experience replay", section 4. Returns (N,) float64.
    """
    return np.power(epsilon, 1.0 + exponent * np.arange(num_envs) / max(num_envs - 1, 1))


def epsilon_greedy(greedy: np.ndarray, epsilon: np.ndarray, num_actions: int, rng: np.random.Generator) -> np.ndarray:
    """One draw for each environment: with probability epsilon[i] a uniformly random action.

    greedy: (N,) int64; epsilon: (N,). Returns (N,) int64.
    """
    explore = rng.random(len(greedy)) < epsilon
    return np.where(explore, rng.integers(num_actions, size=len(greedy)), greedy)


class TemporallyExtendedEpsilonGreedy:
    """Epsilon-greedy exploration whose random actions last `hold_steps` steps each, to reach what dithering cannot.

    A random action begins so seldom that, as without holding, a share of epsilon of all steps is random. Source: Dabney
    et al. 2021, "Temporally-extended epsilon-greedy exploration", with a fixed duration in place of a random one.
    """

    def __init__(self, num_envs: int, num_actions: int, hold_steps: int, rng: np.random.Generator) -> None:
        self.num_actions, self.hold_steps, self.rng = num_actions, hold_steps, rng
        self.action = np.zeros(num_envs, dtype=np.int64)  # the random action under way
        self.left = np.zeros(num_envs, dtype=np.int64)  # steps that it has left

    def choose(self, greedy: np.ndarray, epsilon: np.ndarray) -> np.ndarray:
        """Actions (N,) int64. greedy: (N,) int64; epsilon: (N,)."""
        if self.hold_steps == 1:
            if epsilon.min() >= 1.0:
                return self.rng.integers(self.num_actions, size=len(greedy))
            return epsilon_greedy(greedy, epsilon, self.num_actions, self.rng)
        begin = (self.left == 0) & (self.rng.random(len(greedy)) < self._begin_probability(epsilon))
        self.action = np.where(begin, self.rng.integers(self.num_actions, size=len(greedy)), self.action)
        self.left = np.where(begin, self.hold_steps, self.left)
        explore = self.left > 0
        self.left = self.left - explore
        return np.where(explore, self.action, greedy)

    def _begin_probability(self, epsilon: np.ndarray) -> np.ndarray:
        """p with hold * p / (hold * p + 1 - p) = epsilon."""
        return epsilon / (self.hold_steps - epsilon * (self.hold_steps - 1))

    def state_dict(self) -> dict[str, Any]:
        """Return the random actions under way; the generator is saved by its owner."""
        return {"action": self.action, "left": self.left}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what `state_dict` returned."""
        self.action[:], self.left[:] = state["action"], state["left"]
