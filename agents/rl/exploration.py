"""Epsilon-greedy exploration: one epsilon for each environment, random actions that last several steps, old weights."""

from __future__ import annotations

import copy
from collections import deque
from typing import TYPE_CHECKING, Any

import numpy as np

from rl_gen_lab.cli.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor, nn


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


class PastWeights:
    """A copy of a network that stays so many updates behind it, and has its first weights before; at 0 the network."""

    def __init__(self, newest: nn.Module, updates: int) -> None:
        """newest: the network that learns; updates: as many sets of weights are kept."""
        self._newest, self._updates = newest, updates
        self.network = copy.deepcopy(newest).requires_grad_(False) if updates else newest
        self._kept: deque[dict[str, Tensor]] = deque()

    def push(self) -> None:
        """Take in the weights after an update."""
        if not self._updates:
            return
        if len(self._kept) == self._updates:
            self.network.load_state_dict(self._kept.popleft())
        self._kept.append({name: value.detach().clone() for name, value in self._newest.state_dict().items()})

    def state_dict(self) -> dict[str, Any]:
        """Return the weights that act and, by name, those to come, in a row."""
        names = self._kept[0] if self._kept else {}
        kept = {name: torch.stack([weights[name] for weights in self._kept]) for name in names}
        return {"network": self.network.state_dict(), "kept": kept, "number": len(self._kept)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what `state_dict` returned. Raises: ValueError for that of another lag."""
        number, kept = state["number"], state["kept"]
        if not 0 <= number <= self._updates or any(len(rows) != number for rows in kept.values()):
            raise ValueError(f"acting_lag_updates {self._updates} is not what the checkpoint was made with")
        self.network.load_state_dict(state["network"])
        self._kept = deque({name: rows[index].clone() for name, rows in kept.items()} for index in range(number))
