"""Curves on a common axis: step functions and their grid. Pure numpy; R runs, P points, G grid points."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from agents.reports.statistics import Array


def step_function(x: ArrayLike, y: ArrayLike, grid: ArrayLike) -> Array:
    """Evaluate a step function: the latest known value at each grid point, NaN before the first.

    Interpolation would use a measurement before it was made.

    Args:
        x: (P,) where values became known, not decreasing; of equal ones the last counts.
        y: (P,) the values.
        grid: (G,) where to read.

    Returns:
        (G,) values.
    """
    positions, values = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    index = np.searchsorted(positions, np.asarray(grid, dtype=np.float64), side="right") - 1
    if values.size == 0:
        return np.full(index.shape, np.nan)
    return np.where(index >= 0, values[np.maximum(index, 0)], np.nan)


def common_grid(positions: Sequence[ArrayLike], points: int = 200) -> Array:
    """Return a grid over the range in which every run has data: from the latest start to the earliest end.

    The grid holds all positions at which some curve changes if they are at most `points`, otherwise evenly spaced ones.

    Args:
        positions: R sequences of x, each not decreasing.
        points: largest size of the grid.

    Returns:
        (G,) rising; empty when a run has no points or the ranges do not overlap.
    """
    arrays = [np.asarray(x, dtype=np.float64) for x in positions]
    if not arrays or any(x.size == 0 for x in arrays):
        return np.empty(0)
    start, end = max(x[0] for x in arrays), min(x[-1] for x in arrays)
    if end < start:
        return np.empty(0)
    union = np.unique(np.concatenate([*arrays, [start, end]]))
    union = union[(union >= start) & (union <= end)]
    return union if union.size <= points else np.linspace(start, end, points)
