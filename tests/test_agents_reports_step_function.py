"""Curves on a common axis: step functions and grids."""

import numpy as np

from agents.reports.step_function import common_grid, step_function


def test_step_function_never_looks_ahead() -> None:
    read = step_function([10, 20, 20, 30], [1, 2, 3, 4], [9, 10, 19.9, 20, 29, 100])
    np.testing.assert_array_equal(read, [np.nan, 1, 1, 3, 3, 4])


def test_step_function_of_no_points_is_unknown_everywhere() -> None:
    assert np.isnan(step_function([], [], [0, 1])).all()


def test_common_grid_covers_only_where_every_run_has_data() -> None:
    np.testing.assert_array_equal(common_grid([[0, 10, 20], [5, 15, 40]]), [5, 10, 15, 20])


def test_common_grid_is_empty_when_ranges_do_not_meet() -> None:
    assert common_grid([[0, 1], [2, 3]]).size == 0
    assert common_grid([[0, 1], []]).size == 0


def test_common_grid_is_thinned_to_the_asked_size() -> None:
    grid = common_grid([np.arange(1000), np.arange(500)], points=50)
    assert grid.size == 50 and grid[0] == 0 and grid[-1] == 499
