"""The summaries agree with numbers made on paper and with scipy as an independent oracle."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from agents.reports import statistics
from agents.reports.statistics import (
    bootstrap_over_runs,
    difference_interval,
    interquartile_mean,
    median_of_times,
    score_interval,
    stratified_interval,
)


def test_interquartile_mean_drops_a_quarter_at_each_end() -> None:
    assert interquartile_mean([1000, 3, 1, 2, -500, 4, 5, 6]) == pytest.approx((2 + 3 + 4 + 5) / 4)


def test_interquartile_mean_of_three_values_is_their_mean() -> None:
    assert interquartile_mean([0, 0, 9]) == pytest.approx(3)


def test_interquartile_mean_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        interquartile_mean([])


@settings(max_examples=60)
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40))
def test_interquartile_mean_equals_scipys_trimmed_mean(values: list[float]) -> None:
    assert interquartile_mean(values) == pytest.approx(stats.trim_mean(values, 0.25), rel=1e-9, abs=1e-6)


def test_interquartile_mean_along_an_axis_equals_scipy() -> None:
    values = np.random.default_rng(0).normal(size=(9, 4, 3))
    for axis in (0, 1, -1):
        np.testing.assert_allclose(interquartile_mean(values, axis=axis), stats.trim_mean(values, 0.25, axis=axis))


def test_interval_over_runs_agrees_with_scipys_percentile_bootstrap() -> None:
    values = np.random.default_rng(1).normal(10, 3, size=12)
    _, low, high = bootstrap_over_runs(values[:, None], resamples=8000)
    oracle = stats.bootstrap(
        (values,),
        lambda x, axis: stats.trim_mean(x, 0.25, axis=axis),
        method="percentile",
        n_resamples=8000,
        rng=np.random.default_rng(2),
    ).confidence_interval
    assert low[0] == pytest.approx(oracle.low, abs=0.15)
    assert high[0] == pytest.approx(oracle.high, abs=0.15)


def test_stratified_interval_agrees_with_scipys_bootstrap_of_several_samples() -> None:
    rng = np.random.default_rng(3)
    runs = [rng.normal(mean, 2, size=size) for mean, size in ((0, 20), (6, 14), (9, 20))]
    ours = stratified_interval(runs, resamples=4000)
    oracle = stats.bootstrap(
        tuple(runs),
        lambda *xs, axis: stats.trim_mean(np.concatenate(xs, axis=axis), 0.25, axis=axis),
        method="percentile",
        n_resamples=4000,
        rng=np.random.default_rng(4),
    ).confidence_interval
    assert ours.low == pytest.approx(oracle.low, abs=0.15)
    assert ours.high == pytest.approx(oracle.high, abs=0.15)
    assert (ours.runs, ours.episodes, ours.over) == (3, 54, "episodes")


def test_doubt_between_runs_widens_the_score_interval() -> None:
    # Inside each run every episode is equal, so resampling episodes alone sees no doubt at all.
    runs = [np.full(20, value) for value in (0.0, 10.0, 20.0)]
    assert stratified_interval(runs).high - stratified_interval(runs).low == 0
    score = score_interval(runs)
    assert score.over == "runs and episodes"
    # All three draws hit the lowest run with probability 1/27 = 3.7 % > 2.5 %: both ends are reached.
    assert (score.low, score.high) == (0.0, 20.0)


def test_one_run_gives_an_interval_over_its_episodes_and_says_so() -> None:
    score = score_interval([np.arange(20.0)])
    assert (score.runs, score.over) == (1, "episodes")
    assert score.low < score.value < score.high


def test_many_episodes_are_drawn_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [np.arange(40.0), np.arange(60.0)]
    whole = stratified_interval(runs, resamples=500)
    monkeypatch.setattr(statistics, "MOST_DRAWN", 1_000)  # ten resamples at once
    parts = stratified_interval(runs, resamples=500)
    assert parts.value == whole.value
    assert (parts.low, parts.high) == pytest.approx((whole.low, whole.high), abs=1.5)


def test_a_run_without_episodes_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one evaluation episode"):
        score_interval([[1.0], []])


def test_difference_of_two_agents_has_the_sign_and_size_of_their_gap() -> None:
    rng = np.random.default_rng(5)
    strong = [rng.normal(20, 1, 20) for _ in range(3)]
    weak = [rng.normal(5, 1, 20) for _ in range(3)]
    gap, back = difference_interval(strong, weak), difference_interval(weak, strong)
    assert gap.value == pytest.approx(15, abs=1)
    assert back.value == pytest.approx(-gap.value)
    assert gap.low > 13 and back.high < -13


def test_difference_with_one_run_on_a_side_counts_only_episodes() -> None:
    assert difference_interval([[1.0, 2.0]], [[1.0], [2.0]]).over == "episodes"


def test_band_keeps_whole_curves_together() -> None:
    # Two crossing lines: their mean is flat, and every resample is one of the lines or the flat mean.
    rows = np.stack([np.linspace(0, 1, 5), np.linspace(1, 0, 5)])
    value, low, high = bootstrap_over_runs(rows)
    np.testing.assert_allclose(value, 0.5)
    np.testing.assert_allclose(low, rows.min(axis=0))
    np.testing.assert_allclose(high, rows.max(axis=0))


def test_band_of_one_run_has_no_width() -> None:
    value, low, high = bootstrap_over_runs([[1.0, 2.0, 3.0]])
    np.testing.assert_array_equal(value, low)
    np.testing.assert_array_equal(value, high)


def test_the_same_seed_gives_the_same_interval() -> None:
    runs = [np.arange(10.0), np.arange(5.0)]
    assert score_interval(runs, seed=3) == score_interval(runs, seed=3)
    assert score_interval(runs, seed=3) != score_interval(runs, seed=4)


def test_median_of_times_is_infinite_when_half_of_them_are_never() -> None:
    assert median_of_times([3.0, 1.0]) == 2.0
    assert median_of_times([math.inf, 1.0, 3.0]) == 3.0
    assert median_of_times([1.0, math.inf]) == math.inf
