"""Baselines of REINFORCE that need no network: what is subtracted from the returns of a batch of episodes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from agents.rl import ops

if TYPE_CHECKING:
    from torch import Tensor

BatchBaseline = Literal["none", "mean", "leave-one-out"]


def batch_baseline(name: BatchBaseline, returns: Tensor, mask: Tensor) -> Tensor:
    """Return a baseline (T, E) made of the batch itself, for returns-to-go (T, E) with mask (T, E) bool, True on steps.

    none: 0. mean: over all steps, which counts an episode in its own baseline. leave-one-out: for each time step the
    mean of the other episodes.
    """
    if name == "leave-one-out":
        return ops.leave_one_out(returns)
    value = 0.0 if name == "none" else float(returns[mask].mean())
    return returns.new_full(returns.shape, value)


class MovingAverage:
    """The moving average, over batches, of the mean return; a batch is never part of its own baseline.

    value: None before the first batch, whose baseline is 0.
    """

    def __init__(self, decay: float) -> None:
        """decay: share of the old average that is kept at each batch."""
        self.decay = decay
        self.value: float | None = None

    def __call__(self, returns: Tensor, mask: Tensor) -> Tensor:
        """Return the baseline (T, E) of a batch, as `batch_baseline`, and then take the batch in."""
        before = 0.0 if self.value is None else self.value
        mean = float(returns[mask].mean())
        self.value = mean if self.value is None else self.decay * self.value + (1 - self.decay) * mean
        return returns.new_full(returns.shape, before)
