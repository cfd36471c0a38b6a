"""Distributions over actions: against torch's own, against sums and integrals that must be 1, and by sampling."""

from __future__ import annotations

import pytest
import torch
from torch import distributions as torchs

from agents.rl.distributions import Categorical, Distribution, Gaussian, log_slope_of_tanh

MEAN = torch.tensor([[0.3, -1.0], [2.0, 0.0]], dtype=torch.float64)
LOG_STD = torch.tensor([[0.1, -0.7], [-2.0, 0.5]], dtype=torch.float64)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_categorical_agrees_with_torch() -> None:
    logits = torch.randn(6, 5, generator=generator())
    ours, theirs = Categorical.from_logits(logits + 3.0), torchs.Categorical(logits=logits)
    action = torch.randint(5, (6,), generator=generator())
    torch.testing.assert_close(ours.log_prob(action), theirs.log_prob(action))
    torch.testing.assert_close(ours.entropy(), theirs.entropy())
    assert torch.equal(ours.mode(), logits.argmax(1))


def test_samples_of_a_categorical_have_its_frequencies() -> None:
    probs = torch.tensor([0.5, 0.3, 0.15, 0.05])
    draws = Categorical(probs.log().expand(40_000, 4)).sample(generator())
    seen = torch.bincount(draws, minlength=4) / 40_000
    # 5 standard errors of the most uncertain one; a false alarm once in a million.
    assert seen.tolist() == pytest.approx(probs.tolist(), abs=5 * 0.5 / 200)


def test_an_action_of_probability_zero_is_never_drawn_and_costs_no_nan() -> None:
    policy = Categorical.from_logits(torch.tensor([[0.0, -200.0]]).expand(1_000, 2))
    assert (policy.sample(generator()) == 0).all()
    assert torch.isfinite(policy.entropy()).all()


def test_independent_choices_agree_with_torch() -> None:
    logits = torch.randn(6, 3, 5, generator=generator())
    logits[:, 1, 2:] = -1e9  # an entry of two choices among entries of five
    ours, theirs = Categorical.from_logits(logits, joint=True), torchs.Independent(torchs.Categorical(logits=logits), 1)
    action = torch.tensor([[4, 1, 0]]).expand(6, 3)
    torch.testing.assert_close(ours.log_prob(action), theirs.log_prob(action))
    torch.testing.assert_close(ours.entropy(), theirs.entropy())
    assert torch.equal(ours.mode(), logits.argmax(-1))
    assert ours[:2].log_prob(action[:2]).shape == (2,)
    draws = Categorical.from_logits(logits[:1].expand(40_000, 3, 5), joint=True).sample(generator())
    assert draws.shape == (40_000, 3) and draws[:, 1].max() == 1
    for entry in range(3):
        seen = torch.bincount(draws[:, entry], minlength=5) / 40_000
        # 5 standard errors of the most uncertain one; a false alarm once in a million.
        assert seen.tolist() == pytest.approx(logits[0, entry].softmax(-1).tolist(), abs=5 * 0.5 / 200)


def test_choices_of_two_agree_with_bernoullis() -> None:
    logit = torch.randn(6, 4, generator=generator())
    ours = Categorical.from_logits(torch.stack([torch.zeros_like(logit), logit], -1), joint=True)
    theirs = torchs.Independent(torchs.Bernoulli(logits=logit), 1)
    action = torch.randint(2, (6, 4), generator=generator())
    torch.testing.assert_close(ours.log_prob(action), theirs.log_prob(action.float()))
    torch.testing.assert_close(ours.entropy(), theirs.entropy())


def test_what_cannot_be_chosen_costs_no_nan() -> None:
    logits = torch.zeros(2, 1, 3, requires_grad=True)
    blocked = logits + torch.tensor([0.0, 0.0, -1e9])
    policy = Categorical.from_logits(blocked, joint=True)
    (policy.entropy().sum() + policy.log_prob(torch.zeros(2, 1, dtype=torch.int64)).sum()).backward()
    assert logits.grad is not None and torch.isfinite(logits.grad).all()
    assert float(policy.entropy()[0].detach()) == pytest.approx(0.6931472)


def test_a_gaussian_agrees_with_torch() -> None:
    ours, theirs = Gaussian(MEAN, LOG_STD), torchs.Independent(torchs.Normal(MEAN, LOG_STD.exp()), 1)
    action = torch.randn(2, 2, generator=generator(), dtype=torch.float64)
    torch.testing.assert_close(ours.log_prob(action), theirs.log_prob(action))
    torch.testing.assert_close(ours.entropy(), theirs.entropy())


def test_samples_of_a_gaussian_have_its_mean_and_spread() -> None:
    wide = Gaussian(MEAN[0].expand(40_000, 2), LOG_STD[0].expand(40_000, 2)).sample(generator())
    assert wide.mean(0).tolist() == pytest.approx(MEAN[0].tolist(), abs=0.03)
    assert wide.std(0).log().tolist() == pytest.approx(LOG_STD[0].tolist(), abs=0.02)


def grid() -> tuple[torch.Tensor, torch.Tensor]:
    """Points before the tanh, (M, 1), and the lengths that they stand for on the side of the action."""
    u = torch.linspace(-12, 12, 200_001, dtype=torch.float64)[:, None]
    return u, (1 - u.tanh() ** 2).flatten() * 24 / 200_000


@pytest.mark.parametrize(("mean", "log_std"), [(0.0, 0.0), (1.2, -1.0), (-0.5, 0.6)])
def test_the_density_of_a_squashed_gaussian_integrates_to_one_and_to_its_entropy(mean: float, log_std: float) -> None:
    u, length = grid()
    policy = Gaussian(torch.full_like(u, mean), torch.full_like(u, log_std), squashed=True)
    log_density = policy.log_prob(u)
    assert float((log_density.exp() * length).sum()) == pytest.approx(1.0, abs=1e-6)
    entropy = -float((log_density.exp() * log_density * length).sum())
    assert float(policy[0].entropy()) == pytest.approx(entropy, abs=2e-3)


def test_the_slope_of_tanh_is_stable_far_out() -> None:
    u = torch.tensor([0.0, 1.0, -1.0])
    torch.testing.assert_close(log_slope_of_tanh(u), (1 - u.tanh() ** 2).log())
    assert log_slope_of_tanh(torch.tensor([50.0])).tolist() == pytest.approx([2 * 0.6931472 - 100], rel=1e-5)


@pytest.mark.parametrize(
    "policy",
    [
        Gaussian(MEAN, LOG_STD),
        Gaussian(MEAN, LOG_STD, squashed=True),
        Categorical(LOG_STD),
        Categorical(LOG_STD[None].expand(2, 2, 2), True),
    ],
)
def test_rows_are_taken_from_every_part(policy: Distribution) -> None:
    torch.testing.assert_close(policy[:1].entropy(), policy.entropy()[:1])


def test_the_score_has_mean_zero() -> None:
    # E[grad log pi] = 0, the identity that makes any baseline free of bias; 5 standard errors.
    mean, log_std = torch.zeros(1, requires_grad=True), torch.zeros(1, requires_grad=True)
    policy = Gaussian(mean.expand(20_000, 1), log_std.expand(20_000, 1), squashed=True)
    action = policy.sample(generator()).detach()
    gradients = torch.autograd.grad(policy.log_prob(action).mean(), (mean, log_std))
    assert float(gradients[0].abs()) < 5 / 141
    assert float(gradients[1].abs()) < 5 * 2**0.5 / 141
