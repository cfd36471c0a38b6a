"""Learning curves of runs, and when a curve first reached a score.

A curve is a step function: at each point the mean return of some finished episodes became known. Training curves
average the last `WINDOW` training episodes (with exploration); evaluation curves hold the evaluations during the run
and the final one. Letters: P points, G grid points.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from agents.reports.run_record import RunRecord
from agents.reports.statistics import Array, bootstrap_over_runs, median_of_times
from agents.reports.step_function import common_grid, step_function

# Training episodes in the mean of a training curve.
WINDOW = 20
# Evaluation episodes that must average a score before it counts as reached.
THRESHOLD_EPISODES = 20
# Half width of a normal 95 % interval in standard errors.
Z_95 = 1.96
Axis = Literal["steps", "minutes"]


@dataclass(frozen=True)
class Curve:
    """A step function with P points, ordered in time; arrays are (P,) float64."""

    # Agent steps at which the value became known.
    steps: Array
    # Wall-clock minutes since the start, over all resumes.
    minutes: Array
    # Mean episode return, unclipped.
    values: Array
    # Number of episodes in each mean.
    episodes: Array
    # Standard deviation of the return over those episodes.
    std: Array
    # The run stopped because it had solved the task: its last value also holds for the steps it did not need.
    solved: bool = False

    def axis(self, name: Axis) -> Array:
        """Return the x values: agent steps or minutes."""
        return self.steps if name == "steps" else self.minutes

    def __len__(self) -> int:
        """Return the number of points P."""
        return len(self.values)


def _curve(rows: Sequence[Sequence[float]], run: RunRecord) -> Curve:
    steps, minutes, values, episodes, std = np.asarray(rows, dtype=np.float64).reshape(-1, 5).T
    return Curve(steps, minutes, values, episodes, std, run.solved)


def training_curve(run: RunRecord, window: int = WINDOW) -> Curve:
    """Return the moving mean of the return over training episodes, a point per finished episode.

    Args:
        run: the run.
        window: episodes in the mean, >= 1; the first points average the fewer episodes so far.
    """
    lines = [line for line in run.metrics if line.get("charts/episodic_return") is not None]
    returns = [float(line["charts/episodic_return"]) for line in lines]
    rows = []
    for index, line in enumerate(lines):
        recent = np.asarray(returns[max(0, index + 1 - window) : index + 1])
        minutes = line["wall_seconds"] / 60.0
        rows.append((line["global_step"], minutes, recent.mean(), recent.size, recent.std()))
    return _curve(rows, run)


def evaluation_curve(run: RunRecord) -> Curve:
    """Return the evaluations during training, and the final one if the record of training ends before it."""
    rows = []
    for line in run.metrics:
        mean = line.get("eval/return_mean")
        if mean is None:
            continue
        std = line.get("eval/return_std")
        minutes = line["wall_seconds"] / 60.0
        row = (line["global_step"], minutes, mean, max(line.get("eval/episodes") or 1, 1), abs(std or 0.0))
        rows.append([float(value) for value in row])
    final = run.final_returns
    if final and (not rows or rows[-1][0] < run.env_steps):
        rows.append([run.env_steps, run.minutes, float(np.mean(final)), len(final), float(np.std(final))])
    return _curve(rows, run)


@dataclass(frozen=True)
class Crossing:
    """The point at which a curve first reached a score."""

    steps: int
    minutes: float
    # Episodes whose mean was at least the score.
    episodes: int


def first_crossing(curve: Curve, score: float, min_episodes: int = THRESHOLD_EPISODES) -> Crossing | None:
    """Find the first point at which the latest `min_episodes` episodes average at least `score`.

    An evaluation with fewer episodes is pooled with those just before it: otherwise many small evaluations would reach
    any score by chance.

    Args:
        curve: an evaluation curve.
        score: mean return to reach.
        min_episodes: episodes that must be in the mean.

    Returns:
        the point, or None if the curve never reached the score.
    """
    for index in range(len(curve)):
        start, count = index, curve.episodes[index]
        while count < min_episodes and start > 0:
            start -= 1
            count += curve.episodes[start]
        weights = curve.episodes[start : index + 1]
        if count >= min_episodes and np.average(curve.values[start : index + 1], weights=weights) >= score:
            return Crossing(int(curve.steps[index]), float(curve.minutes[index]), int(count))
    return None


def median_crossing(crossings: Sequence[Crossing | None]) -> tuple[float, float]:
    """Return median steps and minutes to a score over runs; infinite when half of them or more never reached it."""
    steps = [math.inf if crossing is None else float(crossing.steps) for crossing in crossings]
    minutes = [math.inf if crossing is None else crossing.minutes for crossing in crossings]
    return median_of_times(steps), median_of_times(minutes)


@dataclass(frozen=True)
class Band:
    """The summary of several curves on a common grid; x, value, low, high: (G,) float64."""

    x: Array
    value: Array
    low: Array
    high: Array
    runs: int


def band(curves: Sequence[Curve], axis: Axis, points: int = 200) -> Band:
    """Summarize curves: interquartile mean over runs with a bootstrap band.

    For a single run the band is a normal interval over its episodes.

    Args:
        curves: one per run; those without points are ignored.
        axis: x axis.
        points: largest size of the grid.

    Returns:
        the summary over the range in which every run has data; empty if there is none. Runs that stopped because they
        had solved the task keep their last value.
    """
    curves = [curve for curve in curves if len(curve)]
    grid = common_grid(_positions(curves, axis), points)
    if not grid.size:
        return Band(grid, grid, grid, grid, len(curves))
    if len(curves) == 1:
        only = curves[0]
        value = step_function(only.axis(axis), only.values, grid)
        error = Z_95 * step_function(only.axis(axis), only.std / np.sqrt(only.episodes), grid)
        return Band(grid, value, value - error, value + error, 1)
    rows = [step_function(curve.axis(axis), curve.values, grid) for curve in curves]
    return Band(grid, *bootstrap_over_runs(rows), len(curves))


def _positions(curves: Sequence[Curve], axis: Axis) -> list[Array]:
    """Return the x of each curve; those of solved runs are extended to the end of the others."""
    positions = [curve.axis(axis) for curve in curves]
    pairs = list(zip(positions, curves, strict=True))
    ends = [x[-1] for x, curve in pairs if not curve.solved]
    end = min(ends) if ends else max((x[-1] for x in positions), default=0.0)
    return [np.append(x, end) if curve.solved and x[-1] < end else x for x, curve in pairs]
