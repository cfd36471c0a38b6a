"""V-trace against the sums of its paper, in the cases where it is something known, and where the value is known."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from agents.rl import ops
from agents.rl.vtrace import vtrace

STEPS, ENVS, GAMMA = 11, 4, 0.9
Rollout = dict[str, Tensor]


@pytest.fixture
def rollout() -> Rollout:
    """Rows of episodes that end by termination or are cut, with ratios on both sides of 1, in double precision."""
    generator = torch.Generator().manual_seed(3)

    def numbers(*shape: int) -> Tensor:
        return torch.randn(*shape, dtype=torch.float64, generator=generator)

    terminated = torch.rand(STEPS, ENVS, generator=generator) < 0.15
    ended = terminated | (torch.rand(STEPS, ENVS, generator=generator) < 0.15)
    assert ended.any() and (ended & ~terminated).any()
    value_tm1 = numbers(STEPS, ENVS)
    value_t = torch.where(ended, numbers(STEPS, ENVS), torch.cat([value_tm1[1:], numbers(1, ENVS)]))
    return {
        "log_ratio": 0.7 * numbers(STEPS, ENVS),
        "reward_t": numbers(STEPS, ENVS),
        "discount_t": GAMMA * (~terminated).double(),
        "value_tm1": value_tm1,
        "value_t": value_t,
        "lambda_t": (~ended).double(),
    }


def by_the_sums(r: Rollout, rho_bar: float, c_bar: float) -> tuple[Tensor, Tensor]:
    """Eq. 1 as it is written: for each row a sum over all later rows of its episode; and the advantage of section 4.2.

    v_s = V(x_s) + sum_{t=s}^{s+n-1} gamma^{t-s} (prod_{i=s}^{t-1} c_i) rho_t (r_t + gamma V(x_{t+1}) - V(x_t)).
    """
    value: dict[str, list[list[float]]] = {name: x.tolist() for name, x in r.items()}
    target, advantage = torch.zeros(STEPS, ENVS).double(), torch.zeros(STEPS, ENVS).double()
    for n in range(ENVS):
        for s in reversed(range(STEPS)):
            total = value["value_tm1"][s][n]
            for t in range(s, STEPS):
                weight = min(rho_bar, math.exp(value["log_ratio"][t][n]))
                for i in range(s, t):
                    weight *= min(c_bar, math.exp(value["log_ratio"][i][n])) * value["discount_t"][i][n]
                following = value["discount_t"][t][n] * value["value_t"][t][n]
                total += weight * (value["reward_t"][t][n] + following - value["value_tm1"][t][n])
                if not value["lambda_t"][t][n]:
                    break  # the next row is of another episode
            target[s, n] = total
            last = s == STEPS - 1 or not value["lambda_t"][s][n]
            after = value["value_t"][s][n] if last else float(target[s + 1, n])
            error = value["reward_t"][s][n] + value["discount_t"][s][n] * after - value["value_tm1"][s][n]
            advantage[s, n] = min(rho_bar, math.exp(value["log_ratio"][s][n])) * error
    return target, advantage


@pytest.mark.parametrize(("rho_bar", "c_bar"), [(1.0, 1.0), (2.0, 0.5), (math.inf, math.inf)])
def test_it_is_the_sum_of_the_paper(rollout: Rollout, rho_bar: float, c_bar: float) -> None:
    target, advantage, weight = vtrace(**rollout, rho_bar=rho_bar, c_bar=c_bar)
    for ours, paper in zip((target, weight * advantage), by_the_sums(rollout, rho_bar, c_bar), strict=True):
        torch.testing.assert_close(ours, paper, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("lambda_", [0.0, 0.7, 1.0])
def test_of_the_policy_that_acted_it_is_the_lambda_return_and_gae(rollout: Rollout, lambda_: float) -> None:
    """lambda 1: the n-step return of the paper's remark 1."""
    rollout |= {"log_ratio": torch.zeros(STEPS, ENVS).double(), "lambda_t": lambda_ * rollout["lambda_t"]}
    target, advantage, weight = vtrace(**rollout)
    assert (weight == 1).all()
    reward, discount, value_tm1, value_t, lambda_t = list(rollout.values())[1:]
    expected = ops.gae(reward, discount, value_tm1, value_t, lambda_t)
    torch.testing.assert_close(advantage, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(target, value_tm1 + expected, rtol=1e-12, atol=1e-12)


def test_steps_that_the_policy_would_never_take_change_nothing(rollout: Rollout) -> None:
    target, _, weight = vtrace(**rollout | {"log_ratio": torch.full((STEPS, ENVS), -math.inf).double()})
    assert torch.equal(target, rollout["value_tm1"]) and not weight.any()


def test_targets_are_right_in_the_mean_for_the_policy_that_learns() -> None:
    """A bandit: the behavior pulls both arms alike, the learner's policy the first with 80 %; rewards 1 and 0.

    The mean of the target is rho-weighted: 0.5 * min(1, 1.6) * (1 - v) + 0.5 * 0.4 * (0 - v) = 0 at v = 5/7, the value
    of the paper's eq. 3 policy, min(rho_bar mu, pi) normalized; without truncation it is the policy's own 0.8.
    """
    first = torch.tensor([[1.0, 0.0]]).double()
    ratio = torch.tensor([[0.8 / 0.5, 0.2 / 0.5]], dtype=torch.float64).log()
    nothing = torch.zeros(1, 2).double()
    for rho_bar, value in ((1.0, 5 / 7), (math.inf, 0.8)):
        known = torch.full((1, 2), value, dtype=torch.float64)
        target, *_ = vtrace(ratio, first, nothing, known, nothing, nothing, rho_bar=rho_bar)
        assert float(target.mean()) == pytest.approx(value, abs=1e-12)
        assert float(vtrace(ratio, first, nothing, nothing + 0.5, nothing, nothing, rho_bar=rho_bar)[0].mean()) > 0.5


def test_no_gradient_flows_through_it(rollout: Rollout) -> None:
    value = rollout["value_tm1"].requires_grad_()
    assert not any(x.requires_grad for x in vtrace(**rollout | {"value_tm1": value}))
