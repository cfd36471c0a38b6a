"""Exploration: epsilon schedules and the per-environment ladder."""

from __future__ import annotations

import numpy as np


def linear(start: float, end: float, duration: float, t: float) -> float:
    """From `start` at t = 0 to `end` at t = duration, then constant."""
    return start + (end - start) * min(max(t / duration, 0.0), 1.0) if duration > 0 else end


def ladder(epsilon: float, num_envs: int, exponent: float) -> np.ndarray:
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
