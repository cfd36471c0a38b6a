"""Running statistics: those of all that was seen, in any order of batches; rewards scaled by the spread of returns."""

from __future__ import annotations

import pytest
import torch

from agents.rl.running_stats import LIMIT, RewardScaler, RunningMeanStd


def test_moments_are_those_of_everything_seen() -> None:
    seen = 3.0 + 2.0 * torch.randn(1_000, 4, generator=torch.Generator().manual_seed(0))
    moments = RunningMeanStd((4,))
    for part in seen.split([1, 300, 9, 690]):
        moments.update(part)
    torch.testing.assert_close(moments.mean, seen.mean(0), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(moments.var, seen.var(0, correction=0), rtol=1e-4, atol=1e-4)
    standardized = moments(seen)
    torch.testing.assert_close(standardized.mean(0), torch.zeros(4), rtol=0, atol=1e-3)
    torch.testing.assert_close(standardized.std(0, correction=0), torch.ones(4), rtol=1e-3, atol=1e-3)


def test_before_anything_was_seen_numbers_pass_unchanged() -> None:
    moments = RunningMeanStd((2,))
    moments.update(torch.zeros(0, 2))
    torch.testing.assert_close(moments(torch.tensor([[0.5, -2.0]])), torch.tensor([[0.5, -2.0]]))


def test_looking_changes_nothing_and_outliers_are_clipped() -> None:
    moments = RunningMeanStd((1,))
    moments.update(torch.tensor([[-1.0], [1.0]]))
    before = {name: value.clone() for name, value in moments.state_dict().items()}
    assert moments(torch.tensor([[1e6]])).item() == LIMIT
    assert all(torch.equal(before[name], value) for name, value in moments.state_dict().items())
    assert moments(torch.tensor([[float(2)]])).item() == pytest.approx(2.0)


def test_rewards_are_divided_by_the_spread_of_discounted_returns() -> None:
    # One copy, gamma 1/2: returns 1, 2.5, then an episode begins: 4; a dummy row with reward 0 does not count.
    scale = RewardScaler(1, 0.5, torch.device("cpu"))
    reward = torch.tensor([[1.0], [2.0], [0.0], [4.0]])
    first = torch.tensor([[True], [False], [False], [True]])
    dummy = torch.tensor([[False], [False], [True], [False]])
    scale.update(reward, first, dummy)
    spread = torch.tensor([1.0, 2.5, 4.0]).std(correction=0)
    torch.testing.assert_close(scale(reward), reward / spread)
    assert scale.running.tolist() == [4.0]
    other = RewardScaler(1, 0.5, torch.device("cpu"))
    other.load_state_dict(scale.state_dict())
    torch.testing.assert_close(other(reward), scale(reward))
    assert other.running.tolist() == [4.0]
