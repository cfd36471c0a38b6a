"""The mathematics of value learning and policy gradients, by numbers that can be worked out on paper."""

import pytest
import torch

from agents.rl.ops import (
    anneal,
    approximate_kl,
    clipped_surrogate_loss,
    double_q_learning_target,
    gae,
    huber,
    lambda_returns,
    lerp_parameters,
    masked_mean,
    policy_gradient_loss,
    q_learning_target,
    returns_to_go,
    standardize,
    td_error,
)

REWARD = torch.tensor([1.0, -2.0, 0.5])
DISCOUNT = torch.tensor([0.5, 0.0, 0.25])
Q_T = torch.tensor([[2.0, 6.0], [10.0, 20.0], [-4.0, -8.0]])


@pytest.mark.parametrize(("t", "value"), [(-5, 1.0), (0, 1.0), (25, 0.775), (50, 0.55), (100, 0.1), (1_000, 0.1)])
def test_a_linear_schedule_falls_evenly_and_then_stays(t: float, value: float) -> None:
    assert anneal(1.0, 0.1, 100, t) == pytest.approx(value, abs=1e-12)


def test_a_linear_schedule_may_rise_and_may_take_no_time() -> None:
    assert anneal(0.25, 0.75, 4, 1) == 0.375
    assert anneal(1.0, 0.1, 0, 0) == 0.1


def test_a_schedule_without_an_end_is_constant() -> None:
    assert [anneal(0.3, None, 10, t) for t in (0, 5, 100)] == [0.3, 0.3, 0.3]


def test_parameters_move_by_a_share_of_the_way_and_buffers_stay() -> None:
    target, source = torch.nn.BatchNorm1d(1), torch.nn.BatchNorm1d(1)
    with torch.no_grad():
        source.weight.fill_(3.0)
        source.running_mean.fill_(7.0)  # type: ignore[union-attr]
    lerp_parameters(target, source, 0.25)
    assert target.weight.tolist() == [1.5] and target.running_mean.tolist() == [0.0]  # type: ignore[union-attr]


def test_the_target_is_reward_plus_discounted_maximum_and_a_zero_discount_stops_the_value() -> None:
    # 1 + 0.5 x 6; -2 + 0 x 20; 0.5 + 0.25 x -4
    assert q_learning_target(REWARD, DISCOUNT, Q_T).tolist() == [4.0, -2.0, -0.5]


def test_the_double_target_lets_the_selector_choose_and_the_target_network_value() -> None:
    selector = torch.tensor([[9.0, 0.0], [0.0, 1.0], [0.0, 1.0]])  # chooses actions 0, 1, 1
    # 1 + 0.5 x 2; -2 + 0; 0.5 + 0.25 x -8
    assert double_q_learning_target(REWARD, DISCOUNT, Q_T, selector).tolist() == [2.0, -2.0, -1.5]


def test_double_and_single_differ_exactly_where_the_two_networks_disagree_and_the_value_goes_on() -> None:
    generator = torch.Generator().manual_seed(0)
    q_t, selector = torch.randn(2, 500, 4, generator=generator)
    reward = torch.randn(500, generator=generator)
    discount = 0.9 * torch.randint(2, (500,), generator=generator)
    single = q_learning_target(reward, discount, q_t)
    double = double_q_learning_target(reward, discount, q_t, selector)
    disagree = q_t.argmax(1) != selector.argmax(1)
    assert torch.equal(single != double, disagree & (discount > 0))
    assert (double <= single).all()  # never more optimistic
    assert 0 < int(disagree.sum()) < 500


def test_the_td_error_is_target_minus_the_value_of_the_action_taken() -> None:
    q_tm1 = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    assert td_error(q_tm1, torch.tensor([2, 0]), torch.tensor([10.0, 1.0])).tolist() == [7.0, -3.0]


def test_gradients_reach_the_action_taken_and_nothing_behind_the_target() -> None:
    q_tm1, q_t, selector = (torch.randn(3, 2, requires_grad=True) for _ in range(3))
    for target in (
        q_learning_target(REWARD, DISCOUNT, q_t),
        double_q_learning_target(REWARD, DISCOUNT, q_t, selector),
    ):
        assert not target.requires_grad
        q_tm1.grad = None
        td_error(q_tm1, torch.tensor([0, 1, 1]), target).sum().backward()
        assert q_tm1.grad is not None
        assert q_tm1.grad.tolist() == [[-1.0, 0.0], [0.0, -1.0], [0.0, -1.0]]
    assert q_t.grad is None
    assert selector.grad is None


def test_huber_is_a_parabola_within_delta_and_a_line_beyond() -> None:
    x = torch.tensor([-3.0, -1.0, 0.0, 0.5, 1.0, 4.0])
    assert huber(x).tolist() == [2.5, 0.5, 0.0, 0.125, 0.5, 3.5]
    assert huber(x, delta=2.0).tolist() == [4.0, 0.5, 0.0, 0.125, 0.5, 6.0]


def test_the_gradient_of_huber_is_the_error_clipped() -> None:
    x = torch.tensor([-30.0, -1.0, -0.25, 0.0, 0.5, 7.0], requires_grad=True)
    huber(x).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [-1.0, -1.0, -0.25, 0.0, 0.5, 1.0]


# ---- policy gradients


def column(*numbers: float) -> torch.Tensor:
    return torch.tensor(numbers, dtype=torch.float64)[:, None]


def test_returns_to_go_by_hand() -> None:
    # Rewards 1, 2, 3 with discount 1/2: 3; 2 + 3/2 = 3.5; 1 + 3.5/2 = 2.75. A zero discount begins anew.
    assert returns_to_go(column(1, 2, 3), column(0.5, 0.5, 0.5)).flatten().tolist() == [2.75, 3.5, 3.0]
    assert returns_to_go(column(1, 2, 3), column(0.5, 0.0, 0.5)).flatten().tolist() == [2.0, 2.0, 3.0]


def test_generalised_advantages_by_hand() -> None:
    # Values 1, 2, 3, then 4; rewards 1, 0, 2; discount 1/2; lambda 1/2.
    # TD errors: 1 + 2/2 - 1 = 1; 0 + 3/2 - 2 = -0.5; 2 + 4/2 - 3 = 1. Trace 1/4:
    # A2 = 1; A1 = -0.5 + 1/4 = -0.25; A0 = 1 - 0.25/4 = 0.9375.
    reward, half = column(1, 0, 2), column(0.5, 0.5, 0.5)
    found = gae(reward, half, column(1, 2, 3), column(2, 3, 4), half)
    assert found.flatten().tolist() == [0.9375, -0.25, 1.0]
    # The episode is cut after the second step, whose true last observation is worth 3: A1 = -0.5, A0 = 1 - 0.5/4.
    found = gae(reward, half, column(1, 2, 3), column(2, 3, 4), column(0.5, 0.0, 0.5))
    assert found.flatten().tolist() == [0.875, -0.5, 1.0]
    # It is terminated there: the TD error itself is 0 - 2 = -2.
    found = gae(reward, column(0.5, 0.0, 0.5), column(1, 2, 3), column(2, 3, 4), column(0.5, 0.0, 0.5))
    assert found.flatten().tolist() == [0.5, -2.0, 1.0]


def random_rollout(steps: int, envs: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(steps)

    def numbers(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, dtype=torch.float64, generator=generator)

    terminated = torch.rand(steps, envs, generator=generator) < 0.15
    ended = terminated | (torch.rand(steps, envs, generator=generator) < 0.15)
    value_tm1 = numbers(steps, envs)
    # Where the episode goes on, the value after a step is that before the next.
    value_t = torch.where(ended, numbers(steps, envs), torch.cat([value_tm1[1:], numbers(1, envs)]))
    return {
        "reward": numbers(steps, envs),
        "discount": 0.9 * (~terminated).double(),
        "value_tm1": value_tm1,
        "value_t": value_t,
        "ended": ended,
    }


def brute_force_lambda_return(r: dict[str, torch.Tensor], t: int, i: int, lambda_: float) -> float:
    """The mean of all n-step returns from (t, i), weighted (1 - lambda) lambda^(n - 1), the longest by what is left."""
    total, weight, reward, power = 0.0, 1.0, 0.0, 1.0
    for k in range(t, len(r["reward"])):
        reward += power * float(r["reward"][k, i])
        power *= float(r["discount"][k, i])
        n_step = reward + power * float(r["value_t"][k, i])
        if bool(r["ended"][k, i]) or k == len(r["reward"]) - 1:
            return total + weight * n_step
        total += weight * (1 - lambda_) * n_step
        weight *= lambda_
    raise AssertionError


@pytest.mark.parametrize("lambda_", [0.0, 0.7, 1.0])
def test_lambda_returns_and_advantages_are_those_of_brute_force(lambda_: float) -> None:
    r = random_rollout(12, 5)
    trace = lambda_ * (~r["ended"]).double()
    returns = lambda_returns(r["reward"], r["discount"], r["value_t"], trace)
    expected = torch.tensor(
        [[brute_force_lambda_return(r, t, i, lambda_) for i in range(5)] for t in range(12)], dtype=torch.float64
    )
    torch.testing.assert_close(returns, expected, rtol=1e-12, atol=1e-12)
    # Schulman et al. 2016, eq. 16: the sum of discounted TD errors.
    td = r["reward"] + r["discount"] * r["value_t"] - r["value_tm1"]
    sums = torch.zeros_like(td)
    for t in range(12):
        for i in range(5):
            factor = 1.0
            for k in range(t, 12):
                sums[t, i] += factor * td[k, i]
                factor *= float(r["discount"][k, i] * trace[k, i])
    advantage = gae(r["reward"], r["discount"], r["value_tm1"], r["value_t"], trace)
    torch.testing.assert_close(advantage, sums, rtol=1e-12, atol=1e-12)


def test_returns_to_go_are_lambda_returns_without_values() -> None:
    r = random_rollout(9, 4)
    goes_on = (~r["ended"]).double()
    none = torch.zeros_like(r["value_t"])
    expected = lambda_returns(r["reward"], r["discount"], none, goes_on)
    torch.testing.assert_close(returns_to_go(r["reward"], r["discount"] * goes_on), expected)


def test_no_gradient_flows_through_advantages() -> None:
    value = torch.ones(3, 1, requires_grad=True)
    assert not gae(torch.ones(3, 1), torch.ones(3, 1), value, value, torch.ones(3, 1)).requires_grad


def test_masked_means_ignore_what_is_masked_and_nothing_at_all_is_zero() -> None:
    x, mask = torch.tensor([1.0, 5.0, 100.0]), torch.tensor([1.0, 1.0, 0.0])
    assert masked_mean(x, mask) == 3.0
    assert standardize(x, mask)[:2].tolist() == pytest.approx([-1.0, 1.0])
    assert masked_mean(x, torch.zeros(3)) == 0.0


def test_the_policy_gradient_of_a_softmax_by_hand() -> None:
    # d log p_a / d logit_b = [a = b] - p_b; two steps in a softmax of (1/4, 3/4), advantages 2 and -1, one masked.
    logits = torch.tensor([1.0, 3.0]).log().requires_grad_()
    log_prob = logits.log_softmax(0)[torch.tensor([0, 1, 1])]
    policy_gradient_loss(log_prob, torch.tensor([2.0, -1.0, 9.0]), torch.tensor([1.0, 1.0, 0.0])).backward()
    # Mean of 2 (3/4, -3/4) and -(-1/4, 1/4), with a minus: -(1.5 + 0.25) / 2.
    assert logits.grad is not None
    assert logits.grad.tolist() == pytest.approx([-0.875, 0.875])


def test_the_clipped_surrogate_by_hand() -> None:
    # Ratios 2, 2, 1/2, 1/2, advantages 1, -1, 1, -1, clip 0.2: min(2, 1.2), min(-2, -1.2), min(.5, .8), min(-.5, -.8)
    ratio = torch.tensor([2.0, 2.0, 0.5, 0.5])
    log_prob = ratio.log().requires_grad_()
    advantage, old, mask = torch.tensor([1.0, -1.0, 1.0, -1.0]), torch.zeros(4), torch.ones(4)
    loss = clipped_surrogate_loss(log_prob, old, advantage, mask, 0.2)
    assert float(loss.detach()) == pytest.approx(-(1.2 - 2.0 + 0.5 - 0.8) / 4)
    loss.backward()
    # Only where the clip does not bind: -(ratio * advantage) / 4.
    assert log_prob.grad is not None
    assert log_prob.grad.tolist() == pytest.approx([0.0, 0.5, -0.125, 0.0])


def test_the_gradient_of_the_surrogate_is_that_of_finite_differences() -> None:
    generator = torch.Generator().manual_seed(3)

    def numbers(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, dtype=torch.float64, generator=generator)

    features, weights, advantage = numbers(40, 3), numbers(3, 4), numbers(40)
    action = torch.randint(4, (40,), generator=generator)
    old = (features @ weights).log_softmax(1)[torch.arange(40), action]
    mask = (torch.rand(40, generator=generator) < 0.8).double()
    moved = (weights + 0.3 * numbers(3, 4)).requires_grad_()

    def surrogate(w: torch.Tensor) -> torch.Tensor:
        log_prob = (features @ w).log_softmax(1)[torch.arange(40), action]
        return clipped_surrogate_loss(log_prob, old, advantage, mask, 0.2)

    assert torch.autograd.gradcheck(surrogate, (moved,), eps=1e-6, atol=1e-7)
    # At the old policy the surrogate's gradient is the policy gradient.
    at = weights.clone().requires_grad_()
    (surrogate_gradient,) = torch.autograd.grad(surrogate(at), at)
    log_prob = (features @ at).log_softmax(1)[torch.arange(40), action]
    (gradient,) = torch.autograd.grad(policy_gradient_loss(log_prob, advantage, mask), at)
    torch.testing.assert_close(surrogate_gradient, gradient)


def test_the_estimate_of_the_divergence_is_never_negative_and_right_on_average() -> None:
    p, q = torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.4, 0.4, 0.2])
    # Exact mean over actions of p, by weights: sum p (q/p - 1 - log q/p) = KL(p || q).
    each = torch.stack([approximate_kl(q[a].log()[None], p[a].log()[None], torch.ones(1)) for a in range(3)])
    assert (each >= 0).all()
    assert float((p * each).sum()) == pytest.approx(float((p * (p / q).log()).sum()), abs=1e-6)
