"""Ranks and intervals by episode."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from rl_gen_lab.explain.statistics import interval, ranks, spearman


def test_ranks_and_their_correlation_are_those_of_scipy_with_ties() -> None:
    draws = np.random.default_rng(0)
    first, second = draws.integers(5, size=60), draws.integers(5, size=60) + draws.random(60).round(1)
    np.testing.assert_allclose(ranks(first), stats.rankdata(first) - 1)
    assert spearman(first, second) == pytest.approx(stats.spearmanr(first, second).statistic)
    assert np.isnan(spearman(np.ones(4), np.arange(4)))
    assert np.isnan(spearman(np.zeros(0), np.zeros(0)))


def test_an_interval_resamples_episodes_and_not_frames() -> None:
    episodes = np.repeat(np.arange(4), 100)
    values = np.repeat([0.0, 1.0, 2.0, 3.0], 100)  # frames of an episode are alike
    value, low, high = interval(lambda rows: float(values[rows].mean()), episodes)
    assert value == 1.5 and high - low > 1.5
    _, low, high = interval(lambda rows: float(values[rows].mean()), np.arange(400))
    assert high - low < 0.3
