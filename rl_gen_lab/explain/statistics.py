"""Rank correlation, and intervals by episode: frames of one episode resemble each other, they are not independent."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

RESAMPLES, TAIL = 1_000, 2.5  # of a bootstrap; per cent beyond each end of an interval
Statistic = Callable[[np.ndarray], float]


def ranks(values: np.ndarray) -> np.ndarray:
    """Return ranks (N,) float64, equal values sharing the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    middles: np.ndarray = (ends - counts + ends - 1) / 2
    return middles[inverse]


def spearman(first: np.ndarray, second: np.ndarray) -> float:
    """Return the rank correlation of two rows of numbers; NaN where one of them does not vary, or there are none."""
    if not np.size(first):
        return float("nan")
    a, b = ranks(np.asarray(first).ravel()), ranks(np.asarray(second).ravel())
    a, b = a - a.mean(), b - b.mean()
    size = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum() / size) if size > 0 else float("nan")


def interval(statistic: Statistic, episodes: np.ndarray, seed: int = 0) -> tuple[float, float, float]:
    """Return a statistic with its 95 % bootstrap interval: whole episodes are resampled.

    statistic: of the indices of frames, repeated as often as drawn. episodes: (N,) which one each frame is of.
    """
    groups = [np.flatnonzero(episodes == name) for name in np.unique(episodes)]
    draws = np.random.default_rng(seed)
    values = []
    for _ in range(RESAMPLES):
        picked = draws.integers(len(groups), size=len(groups))
        values.append(statistic(np.concatenate([groups[i] for i in picked])))
    low, high = np.nanpercentile(values, [TAIL, 100 - TAIL]) if not np.isnan(values).all() else (np.nan, np.nan)
    return statistic(np.arange(len(episodes))), float(low), float(high)
