"""Curves and thresholds read from run folders equal what was written into them."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
from synthetic_runs import make_run

from agents.reports.curves import (
    Crossing,
    Curve,
    band,
    evaluation_curve,
    first_crossing,
    median_crossing,
    training_curve,
)
from agents.reports.run_record import load_run
from rl_gen_lab.runs.folder import RunFolder


def curve(values: list[float], episodes: float = 20, start: int = 10) -> Curve:
    steps = np.arange(start, start + 10 * len(values), 10, dtype=float)
    return Curve(steps, steps / 60, np.array(values), np.full(len(values), episodes), np.ones(len(values)))


def bare_run(root: Path, lines: list[dict[str, float]]) -> RunFolder:
    """A run with just these metric lines and no result."""
    run = RunFolder(make_run(root, status=None, steps=900, evaluations=0))
    run.metrics_file.unlink()
    for line in lines:
        run.append_metrics(line)
    return run


def test_training_curve_is_the_mean_of_the_last_window_of_episodes(tmp_path: Path) -> None:
    returns = [0.0, 10.0, 20.0, 60.0]
    lines = [
        {"global_step": 5 * i, "wall_seconds": 30.0 * i, "charts/episodic_return": value}
        for i, value in enumerate(returns, 1)
    ]
    made = training_curve(load_run(bare_run(tmp_path, lines).path), window=3)
    np.testing.assert_allclose(made.values, [0, 5, 10, 30])
    np.testing.assert_allclose(made.episodes, [1, 2, 3, 3])
    np.testing.assert_allclose(made.steps, [5, 10, 15, 20])
    np.testing.assert_allclose(made.minutes, [0.5, 1, 1.5, 2])
    assert made.std[1] == pytest.approx(5)


def test_lines_without_the_metric_or_with_null_are_no_points(tmp_path: Path) -> None:
    lines = [
        {"global_step": 1, "wall_seconds": 1.0, "losses/td_loss": 0.5},
        {"global_step": 2, "wall_seconds": 2.0, "charts/episodic_return": math.nan},
    ]
    run = load_run(bare_run(tmp_path, lines).path)
    assert len(training_curve(run)) == 0 and len(evaluation_curve(run)) == 0
    assert run.env_steps == 2 and run.status == "no result"


def test_final_evaluation_is_the_last_point_of_the_evaluation_curve(tmp_path: Path) -> None:
    run = load_run(make_run(tmp_path, evaluations=4, steps=200_000, minutes=20))
    made = evaluation_curve(run)
    np.testing.assert_allclose(made.steps, [50_000, 100_000, 150_000, 200_000])
    assert made.values[-1] == pytest.approx(np.mean(run.final_returns))
    assert made.minutes[-1] == pytest.approx(20)


def test_final_evaluation_already_in_the_metrics_is_not_counted_twice(tmp_path: Path) -> None:
    folder = RunFolder(make_run(tmp_path, evaluations=4, steps=200_000))
    folder.append_metrics({"global_step": 200_000, "wall_seconds": 1200.0, "eval/return_mean": 20.0})
    assert evaluation_curve(load_run(folder.path)).steps.tolist() == [50_000, 100_000, 150_000, 200_000]


def test_a_score_counts_from_the_first_evaluation_that_holds_it() -> None:
    assert first_crossing(curve([-20, 5, 17.9, 18, 3, 20]), 18) == Crossing(40, 40 / 60, 20)


def test_a_score_never_held_is_never_reached() -> None:
    assert first_crossing(curve([1, 2, 3]), 18) is None


def test_small_evaluations_are_pooled_so_that_one_lucky_one_does_not_count() -> None:
    # Five episodes each, twenty needed: 20 once among zeros is luck; four in a row are not.
    lucky = curve([0, 0, 0, 20, 0, 0, 0], episodes=5)
    assert first_crossing(lucky, 18) is None
    steady = curve([0, 20, 20, 20, 20], episodes=5)
    assert first_crossing(steady, 18) == Crossing(50, 50 / 60, 20)
    assert first_crossing(steady, 18, min_episodes=5) == Crossing(20, 20 / 60, 5)


def test_too_few_episodes_in_all_reach_nothing() -> None:
    assert first_crossing(curve([20, 20], episodes=5), 18) is None


def test_median_time_counts_runs_that_never_got_there_as_infinitely_late() -> None:
    a, b = Crossing(100, 1.0, 20), Crossing(300, 3.0, 20)
    assert median_crossing([a, b]) == (200, 2.0)
    assert median_crossing([a, None, b]) == (300, 3.0)
    assert median_crossing([a, None]) == (math.inf, math.inf)


def test_band_over_runs_covers_only_steps_that_all_runs_reached() -> None:
    made = band([curve([0, 0, 0]), curve([10, 10, 10, 10], start=20)], "steps")
    assert (made.x[0], made.x[-1], made.runs) == (20, 30, 2)
    np.testing.assert_allclose(made.value, 5)
    np.testing.assert_allclose(made.low, 0)
    np.testing.assert_allclose(made.high, 10)


def test_a_run_that_stopped_because_it_was_solved_keeps_its_last_value() -> None:
    solved = dataclasses.replace(curve([0, 20]), solved=True)
    made = band([solved, curve([0, 0, 0, 0])], "steps")
    assert made.x.tolist() == [10, 20, 30, 40]
    np.testing.assert_allclose(made.value, [0, 10, 10, 10])
    both = band([solved, dataclasses.replace(curve([0, 0, 8]), solved=True)], "steps")
    np.testing.assert_allclose(both.value, [0, 10, 14])


def test_whether_a_run_was_solved_is_read_from_its_result(tmp_path: Path) -> None:
    assert evaluation_curve(load_run(make_run(tmp_path, solved=True))).solved
    assert not training_curve(load_run(make_run(tmp_path))).solved


def test_band_of_one_run_is_a_normal_interval_over_its_episodes() -> None:
    made = band([curve([3.0, 4.0], episodes=16)], "steps")
    np.testing.assert_allclose(made.high - made.value, 1.96 / 4)
    np.testing.assert_allclose(made.value - made.low, 1.96 / 4)


def test_band_by_minutes_uses_the_clock() -> None:
    assert band([curve([1, 2])], "minutes").x.tolist() == pytest.approx([10 / 60, 20 / 60])


def test_band_of_runs_without_points_is_empty() -> None:
    assert band([curve([])], "steps").x.size == 0
