"""Baselines of REINFORCE that need no network: what is subtracted from the returns of a batch of episodes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Tensor

BatchBaseline = Literal["none", "mean", "leave-one-out"]


def batch_baseline(name: BatchBaseline, returns: Tensor, mask: Tensor) -> Tensor:
    """Return a baseline (T, E) made of the batch itself, for returns-to-go (T, E) with mask (T, E) bool, True on steps.

    none: 0. mean: over all steps, which counts an episode in its own baseline. leave-one-out: for each time step the
    mean of the other episodes.
    """
    if name == "leave-one-out":
        return leave_one_out(returns)
    value = 0.0 if name == "none" else float(returns[mask].mean())
    return returns.new_full(returns.shape, value)


def leave_one_out(x: Tensor) -> Tensor:
    """For each column the mean of the others: a baseline that does not depend on the episode it is subtracted from.

    Source: Kool et al. 2019, "Buy 4 REINFORCE samples, get a baseline for free!", eq. 8, here for each time step.
    x: (T, E) with an episode in each of E >= 2 columns, 0 after its end. Returns (T, E).
    """
    return (x.sum(1, keepdim=True) - x) / (x.shape[1] - 1)


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
