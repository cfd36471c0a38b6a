"""What every command that watches an agent needs to know about it: a policy, without the algorithm behind it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np


@dataclass(frozen=True)
class Policy:
    """A trained agent, ready to act.

    act: observations (N, ...) -> actions (N,) or (N, A), greedy. values: observations (N, ...) -> (N, A) float32, what
    the agent says of each action, the largest being its choice; None for agents that say nothing of the kind. meaning:
    what these numbers are. begin: called with (N,) bool before each `act`, true where an episode begins; None for
    agents without a memory. An agent with a memory is asked once for each step: by `choose`.
    """

    act: Callable[[np.ndarray], np.ndarray]
    values: Callable[[np.ndarray], np.ndarray] | None = None
    meaning: Literal["Q-value", "probability"] = "Q-value"
    begin: Callable[[np.ndarray], None] | None = None

    def choose(self, obs: np.ndarray, first: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Actions and values of a step; first: (N,) bool, an episode begins."""
        if self.begin is not None:
            self.begin(first)
        if self.values is None:
            return self.act(obs), None
        values = self.values(obs)
        return values.argmax(1), values
