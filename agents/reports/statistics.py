"""Robust statistics of a few runs: interquartile mean and bootstrap intervals.

Source: Agarwal et al. 2021, "Deep Reinforcement Learning at the Edge of the Statistical Precipice", section 4
(interquartile mean, bootstrap over runs, percentile intervals). Pure numpy. Letters: R runs, G grid points, B bootstrap
resamples.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

CONFIDENCE = 0.95
RESAMPLES = 2000
MOST_DRAWN = 10_000_000  # episodes at once, which bounds the memory


@dataclass(frozen=True)
class Estimate:
    """A number, its interval, and the amount of evidence for it."""

    # Interquartile mean (or difference of two).
    value: float
    # Ends of the percentile interval.
    low: float
    high: float
    # Independent training runs.
    runs: int
    # Evaluation episodes of all runs.
    episodes: int
    # Units that were resampled: "runs and episodes" or "episodes".
    over: str


def interquartile_mean(values: ArrayLike, axis: int = -1) -> Array:
    """Return the mean of the middle half: a quarter of the values, rounded down, is dropped at each end.

    With one to three values nothing is dropped: it is the plain mean.

    Args:
        values: (..., n) numbers, n >= 1 along `axis`.
        axis: the axis that is reduced.

    Returns:
        (...) interquartile means; a zero-dimensional array for a flat input.

    Raises:
        ValueError: no values.
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64), axis=axis)
    count = ordered.shape[axis]
    if count == 0:
        raise ValueError("interquartile_mean needs at least one value")
    cut = count // 4
    middle = np.take(ordered, np.arange(cut, count - cut), axis=axis)
    return np.asarray(middle.mean(axis=axis))


def percentile_interval(replicates: ArrayLike, confidence: float = CONFIDENCE) -> tuple[Array, Array]:
    """Return the central `confidence` part of bootstrap replicates.

    Args:
        replicates: (B, ...) the statistic on B resamples.
        confidence: fraction of the replicates inside, in (0, 1).

    Returns:
        low, high: (...) each.
    """
    tail = 100.0 * (1.0 - confidence) / 2.0
    low, high = np.percentile(np.asarray(replicates, dtype=np.float64), [tail, 100.0 - tail], axis=0)
    return np.asarray(low), np.asarray(high)


def bootstrap_over_runs(
    values: ArrayLike, *, resamples: int = RESAMPLES, confidence: float = CONFIDENCE, seed: int = 0
) -> tuple[Array, Array, Array]:
    """Return the interquartile mean over runs at every grid point, with a band from resampling whole runs.

    A resample draws whole curves, which keeps the points of a curve together.

    Args:
        values: (R, G) a row per run.
        resamples: number of bootstrap resamples.
        confidence: width of the band, in (0, 1).
        seed: of the resampling.

    Returns:
        value, low, high: (G,) each. With R = 1 the three are equal: a single run says nothing about other runs.
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
    """Return the interquartile mean of the pooled episodes of each resample: (B,)."""
    runs = [np.asarray(run, dtype=np.float64) for run in returns_by_run]
    picks = np.tile(np.arange(len(runs)), (resamples, 1))  # (B, R)
    if resample_runs:
        picks = np.sort(rng.integers(len(runs), size=picks.shape), axis=1)
    result = np.empty(resamples)
    # Resamples that drew the same runs have the same number of episodes: one array each.
    drawn, which = np.unique(picks, axis=0, return_inverse=True)
    for number, indices in enumerate(drawn):
        same = np.flatnonzero(which.reshape(-1) == number)
        at_once = max(MOST_DRAWN // sum(runs[i].size for i in indices), 1)
        for part in np.split(same, range(at_once, len(same), at_once)):
            episodes = [runs[i][rng.integers(runs[i].size, size=(len(part), runs[i].size))] for i in indices]
            result[part] = interquartile_mean(np.concatenate(episodes, axis=1))
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
    """Estimate the score of *these* runs: episodes are resampled within each run, runs are not.

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
    """Estimate the score of the *agent*: runs are resampled, then episodes within each drawn run.

    Seeds differ more than the episodes of a seed, so a claim about the agent needs this interval. With one run only
    episodes can be resampled, and `over` says so. With two or three runs a bootstrap interval is too narrow: read it
    as a lower bound of the uncertainty.

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
    fixed = stratified_interval(returns_by_run, resamples=resamples, confidence=confidence, seed=seed)
    if fixed.runs == 1:
        return fixed
    replicates = _replicates(returns_by_run, True, resamples, np.random.default_rng(seed))
    low, high = percentile_interval(replicates, confidence)
    return Estimate(fixed.value, float(low), float(high), fixed.runs, fixed.episodes, "runs and episodes")


def difference_interval(
    ours: Sequence[ArrayLike],
    theirs: Sequence[ArrayLike],
    *,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> Estimate:
    """Estimate the interquartile mean of `ours` minus that of `theirs`, both resampled independently.

    Args:
        ours: sequences of episode returns [reward], one per run.
        theirs: the same for the other agent.
        resamples: number of bootstrap resamples.
        confidence: in (0, 1).
        seed: of the resampling.

    Returns:
        the difference; `runs` is the smaller of the two counts.

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


def median_of_times(times: Sequence[float]) -> float:
    """Return the median of times, infinite for "never": infinite when half of them or more are.

    >>> median_of_times([1.0, 3.0, float("inf")]), median_of_times([1.0, float("inf")])
    (3.0, inf)
    """
    ordered = sorted(times)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
