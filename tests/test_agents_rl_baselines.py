"""Baselines of REINFORCE by hand."""

import pytest
import torch

from agents.rl.baselines import MovingAverage, batch_baseline

RETURNS = torch.tensor([[4.0, 2.0, 6.0], [0.0, 2.0, 1.0]])
MASK = torch.tensor([[True, True, True], [False, True, True]])


def test_no_baseline_is_zero_and_the_mean_is_over_the_steps_that_were_taken() -> None:
    assert batch_baseline("none", RETURNS, MASK).tolist() == [[0.0] * 3] * 2
    assert batch_baseline("mean", RETURNS, MASK).tolist() == [[3.0] * 3] * 2  # (4 + 2 + 6 + 2 + 1) / 5


def test_leave_one_out_is_for_each_step_the_mean_of_the_other_episodes() -> None:
    assert batch_baseline("leave-one-out", RETURNS, MASK).tolist() == [[4.0, 5.0, 3.0], [1.5, 0.5, 1.0]]


def test_the_moving_average_never_holds_the_batch_it_is_subtracted_from() -> None:
    returns, mask = torch.tensor([[4.0, 2.0], [0.0, 2.0]]), torch.tensor([[True, True], [False, True]])
    average = MovingAverage(0.9)
    assert average(returns, mask).unique().tolist() == [0.0]
    assert average(2 * returns, mask)[0, 0] == pytest.approx(8 / 3)  # the mean of 4, 2, 2
    assert average(returns, mask)[0, 0] == pytest.approx(0.9 * 8 / 3 + 0.1 * 16 / 3)
