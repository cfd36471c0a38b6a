"""The warning when greedy evaluation returns fall far below training returns: when it comes, and when it does not."""

from __future__ import annotations

import numpy as np
import pytest

from agents.training.greedy_gap import GreedyGap

TRAINED = [0.0, 0.9] * 7 + [0.0] * 6  # mean 0.315, as on MiniGrid's DoorKey


def test_three_evaluations_in_a_row_far_below_training_warn_once() -> None:
    gap = GreedyGap()
    assert gap.check([0.0] * 20, TRAINED) is None and gap.check([0.0] * 20, TRAINED) is None
    said = gap.check([0.0] * 20, TRAINED)
    assert said is not None and "0.00 in evaluation and 0.32 in training" in said and "--eval.stochastic" in said
    assert gap.check([0.0] * 20, TRAINED) is None and gap.check([0.0] * 20, TRAINED) is None


@pytest.mark.parametrize(
    ("evaluated", "trained"),
    [
        ([0.9] * 20, TRAINED),  # better
        ([0.0, 0.9] * 10, TRAINED),  # about as good
        ([95.0] * 20, [100.0] * 20),  # certainly less, and not far below
        ([-205.0] * 20, [-200.0] * 20),
        ([0.0] * 20, [1.0] * 9),  # too few episodes to say
        ([0.0] * 20, []),
        ([0.0, 500.0] * 2, [400.0] * 20),  # too few evaluation episodes for their spread
    ],
)
def test_nothing_is_said_of_differences_that_are_small_or_may_be_chance(
    evaluated: list[float], trained: list[float]
) -> None:
    gap = GreedyGap()
    assert [gap.check(evaluated, trained) for _ in range(5)] == [None] * 5


def test_a_better_evaluation_in_between_begins_the_count_anew() -> None:
    gap = GreedyGap()
    evaluations = [0.0, 0.0, 0.9, 0.0, 0.0]
    assert [gap.check([value] * 20, TRAINED) for value in evaluations] == [None] * 5


def test_a_policy_that_is_as_good_either_way_is_hardly_ever_reported() -> None:
    chance = np.random.default_rng(0)
    warned = 0
    for _ in range(2_000):  # runs of ten evaluations
        gap = GreedyGap()
        returns = chance.random((10, 2, 20)) < 0.3
        warned += any(gap.check(list(evaluated), list(trained)) for evaluated, trained in returns.astype(float))
    assert warned == 0


def test_it_goes_on_after_resuming() -> None:
    gap, resumed = GreedyGap(), GreedyGap()
    for _ in range(2):
        gap.check([0.0] * 20, TRAINED)
    resumed.load_state_dict(gap.state_dict())
    assert resumed.check([0.0] * 20, TRAINED) is not None
    again = GreedyGap()
    again.load_state_dict(resumed.state_dict())
    assert again.check([0.0] * 20, TRAINED) is None
