"""Robust summaries of a few runs: interquartile mean, bootstrap intervals, curves on a common axis.

Source: Agarwal et al. 2021, "Deep Reinforcement Learning at the Edge of the Statistical Precipice", section 4
(interquartile mean, bootstrap over runs, percentile intervals). Pure numpy. Letters: R runs, P points, G grid
points, E episodes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

CONFIDENCE = 0.95
RESAMPLES = 2000


@dataclass(frozen=True)
class Estimate:
    """One number, its interval, and how much evidence stands behind it."""

    # Interquartile mean (or difference of two).
    value: float
    # Ends of the percentile interval.
    low: float
    high: float
    # Independent training runs behind the number.
    runs: int
    # Evaluation episodes behind the number, over all runs.
    episodes: int
    # What the interval was resampled over: "runs and episodes" or "episodes".
    over: str


def interquartile_mean(values: ArrayLike, axis: int = -1) -> Array:
    """Mean of the middle half: a quarter of the values, rounded down, is dropped at each end.

    With one to three values nothing is dropped, so it is the plain mean.

    Args:
        values: (..., n) numbers, n >= 1 along `axis`.
        axis: the axis that is reduced.

    Returns:
        (...) interquartile means; a zero-dimensional array for a flat input.

    Raises:
        ValueError: there is nothing to average.
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64), axis=axis)
    count = ordered.shape[axis]
    if count == 0:
        raise ValueError("interquartile_mean needs at least one value")
    cut = count // 4
    middle = np.take(ordered, np.arange(cut, count - cut), axis=axis)
    return np.asarray(middle.mean(axis=axis))


def percentile_interval(replicates: ArrayLike, confidence: float = CONFIDENCE) -> tuple[Array, Array]:
    """The central `confidence` part of bootstrap replicates.

    Args:
        replicates: (B, ...) the statistic on B resamples.
        confidence: share of the replicates inside, in (0, 1).

    Returns:
        low, high: (...) each.
    """
    tail = 100.0 * (1.0 - confidence) / 2.0
    low, high = np.percentile(np.asarray(replicates, dtype=np.float64), [tail, 100.0 - tail], axis=0)
    return np.asarray(low), np.asarray(high)


def bootstrap_over_runs(
    values: ArrayLike, *, resamples: int = RESAMPLES, confidence: float = CONFIDENCE, seed: int = 0
) -> tuple[Array, Array, Array]:
    """Interquartile mean over runs at every grid point, with a band from resampling whole runs.

    A resample takes whole curves, so the points of one curve stay together.

    Args:
        values: (R, G) one row per run.
        resamples: number of bootstrap resamples.
        confidence: width of the band, in (0, 1).
        seed: of the resampling.

    Returns:
        value, low, high: (G,) each. With R = 1 the three are equal: one run says nothing about other runs.
    """
    rows = np.atleast_2d(np.asarray(values, dtype=np.float64))
    runs = rows.shape[0]
    picks = np.random.default_rng(seed).integers(runs, size=(resamples, runs))  # (B, R)
    # One grid point at a time: (B, R) fits in the cache, (B, R, G) would not.
    columns = [interquartile_mean(column[picks]) for column in rows.T]
    low, high = percentile_interval(np.stack(columns, axis=1), confidence)
    return interquartile_mean(rows, axis=0), low, high


def _replicates(
    returns_by_run: Sequence[ArrayLike], resample_runs: bool, resamples: int, rng: np.random.Generator
) -> Array:
    """Interquartile mean of the pooled episodes on each resample: (B,)."""
    runs = [np.asarray(run, dtype=np.float64) for run in returns_by_run]
    picks = np.tile(np.arange(len(runs)), (resamples, 1))  # (B, R)
    if resample_runs:
        picks = np.sort(rng.integers(len(runs), size=picks.shape), axis=1)
    result = np.empty(resamples)
    # Resamples that drew the same runs have equally many episodes, so they are done together.
    drawn, which = np.unique(picks, axis=0, return_inverse=True)
    for number, indices in enumerate(drawn):
        here = which.reshape(-1) == number
        episodes = [runs[i][rng.integers(runs[i].size, size=(here.sum(), runs[i].size))] for i in indices]
        result[here] = interquartile_mean(np.concatenate(episodes, axis=1))
    return result


def _check(returns_by_run: Sequence[ArrayLike]) -> None:
    if not returns_by_run or any(np.size(run) == 0 for run in returns_by_run):
        raise ValueError("every run needs at least one evaluation episode")


def stratified_interval(
    returns_by_run: Sequence[ArrayLike],
    *,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> Estimate:
    """How well *these* runs were measured: episodes are resampled inside each run, the runs stay as they are.

    Args:
        returns_by_run: R sequences of episode returns [reward]; lengths may differ.
        resamples: number of bootstrap resamples.
        confidence: in (0, 1).
        seed: of the resampling.

    Returns:
        the interquartile mean of all pooled episodes and its interval.

    Raises:
        ValueError: no run, or a run without episodes.
    """
    _check(returns_by_run)
    replicates = _replicates(returns_by_run, False, resamples, np.random.default_rng(seed))
    low, high = percentile_interval(replicates, confidence)
    pooled = np.concatenate([np.asarray(run, dtype=np.float64) for run in returns_by_run])
    value = float(interquartile_mean(pooled))
    return Estimate(value, float(low), float(high), len(returns_by_run), pooled.size, "episodes")


def score_interval(
    returns_by_run: Sequence[ArrayLike],
    *,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> Estimate:
    """How well the *agent* is known: runs are resampled, then episodes inside each drawn run.

    Seeds differ more than the episodes of one seed, so with several runs this is the interval a claim
    about the agent needs. With one run only the episodes can be resampled, and `over` says so. With two or
    three runs a bootstrap interval is too narrow: read it as a lower bound of the doubt.

    Args:
        returns_by_run: R sequences of episode returns [reward]; lengths may differ.
        resamples: number of bootstrap resamples.
        confidence: in (0, 1).
        seed: of the resampling.

    Returns:
        the interquartile mean of all pooled episodes and its interval.

    Raises:
        ValueError: no run, or a run without episodes.
    """
    inside = stratified_interval(returns_by_run, resamples=resamples, confidence=confidence, seed=seed)
    if inside.runs == 1:
        return inside
    replicates = _replicates(returns_by_run, True, resamples, np.random.default_rng(seed))
    low, high = percentile_interval(replicates, confidence)
    return Estimate(inside.value, float(low), float(high), inside.runs, inside.episodes, "runs and episodes")


def difference_interval(
    ours: Sequence[ArrayLike],
    theirs: Sequence[ArrayLike],
    *,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> Estimate:
    """Interquartile mean of `ours` minus that of `theirs`, both sides resampled independently.

    Args:
        ours: sequences of episode returns, one per run.
        theirs: the same for the other agent.
        resamples: number of bootstrap resamples.
        confidence: in (0, 1).
        seed: of the resampling.

    Returns:
        the difference; `runs` is that of the side with fewer.

    Raises:
        ValueError: no run, or a run without episodes.
    """
    left = score_interval(ours, resamples=resamples, confidence=confidence, seed=seed)
    right = score_interval(theirs, resamples=resamples, confidence=confidence, seed=seed)
    rng = np.random.default_rng(seed)
    replicates = _replicates(ours, len(ours) > 1, resamples, rng)
    replicates = replicates - _replicates(theirs, len(theirs) > 1, resamples, rng)
    low, high = percentile_interval(replicates, confidence)
    over = left.over if left.over == right.over else "episodes"
    runs, episodes = min(left.runs, right.runs), left.episodes + right.episodes
    return Estimate(left.value - right.value, float(low), float(high), runs, episodes, over)


def step_function(x: ArrayLike, y: ArrayLike, grid: ArrayLike) -> Array:
    """The latest known value at each grid point: constant between points, NaN before the first.

    Interpolating would use a measurement before it was made.

    Args:
        x: (P,) where values became known, not decreasing; of equal ones the last counts.
        y: (P,) the values.
        grid: (G,) where to read.

    Returns:
        (G,) values.
    """
    places, values = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    index = np.searchsorted(places, np.asarray(grid, dtype=np.float64), side="right") - 1
    if values.size == 0:
        return np.full(index.shape, np.nan)
    return np.where(index >= 0, values[np.maximum(index, 0)], np.nan)


def common_grid(places: Sequence[ArrayLike], points: int = 200) -> Array:
    """A grid over the range in which every run has data: from the latest start to the earliest end.

    All the places where some curve changes are kept if they are at most `points`; else it is evenly spread.

    Args:
        places: R sequences of x, each not decreasing.
        points: largest size of the grid.

    Returns:
        (G,) rising; empty when a run has no points or the ranges do not meet.
    """
    arrays = [np.asarray(x, dtype=np.float64) for x in places]
    if not arrays or any(x.size == 0 for x in arrays):
        return np.empty(0)
    start, end = max(x[0] for x in arrays), min(x[-1] for x in arrays)
    if end < start:
        return np.empty(0)
    union = np.unique(np.concatenate([*arrays, [start, end]]))
    union = union[(union >= start) & (union <= end)]
    return union if union.size <= points else np.linspace(start, end, points)
