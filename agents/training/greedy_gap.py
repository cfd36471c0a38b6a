"""Warning when greedy evaluation returns fall far below training returns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

AT_LEAST = 10  # training episodes to compare with
STANDARD_ERRORS, SHARE = 2.5, 0.1
IN_A_ROW = 3


class GreedyGap:
    """Warning, given once, when greedy evaluation returns lie far below those of training, which samples actions.

    The rule: in IN_A_ROW evaluations, one after another, the mean return lies below that of the last training episodes
    by more than STANDARD_ERRORS standard errors of the difference and by more than SHARE of the latter's size. Of a
    policy that is as good either way, three evaluations in a row do so by chance about once in a million. The standard
    errors are those of returns that all come from one distribution: of a policy that always earns 0 in evaluation the
    spread is not known.
    """

    def __init__(self) -> None:
        self.in_a_row, self.warned = 0, False

    def check(self, evaluated: Sequence[float], trained: Sequence[float]) -> str | None:
        """Take in the returns of an evaluation and of the last training episodes; return a warning, if one is due."""
        short = self._far_below(evaluated, trained)
        self.in_a_row = self.in_a_row + 1 if short else 0
        if self.warned or self.in_a_row < IN_A_ROW:
            return None
        self.warned = True
        means = f"{np.mean(evaluated):.2f} in evaluation and {np.mean(trained):.2f} in training"
        return (
            f"note: the greedy policy earns {means}, where actions are sampled; it may need that chance:"
            " --eval.stochastic evaluates it as it was trained"
        )

    @staticmethod
    def _far_below(evaluated: Sequence[float], trained: Sequence[float]) -> bool:
        if len(trained) < AT_LEAST:
            return False
        gap = np.mean(trained) - np.mean(evaluated)
        error = np.std([*evaluated, *trained]) * np.sqrt(1 / len(evaluated) + 1 / len(trained))
        return bool(gap > STANDARD_ERRORS * error and gap > SHARE * abs(np.mean(trained)))

    def state_dict(self) -> dict[str, Any]:
        """Return what was seen so far."""
        return {"in_a_row": self.in_a_row, "warned": self.warned}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what `state_dict` returned."""
        self.in_a_row, self.warned = int(state["in_a_row"]), bool(state["warned"])
