"""What every command that watches an agent needs to know about it: a policy, without the algorithm behind it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Policy:
    """A trained agent, ready to act.

    act: observations (N, ...) -> actions (N,) or (N, A), greedy; values: observations (N, ...) -> (N, A) float32, what
    the agent expects of each action (Q-values), or None for agents that have none.
    """

    act: Callable[[np.ndarray], np.ndarray]
    values: Callable[[np.ndarray], np.ndarray] | None = None
