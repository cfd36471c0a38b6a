"""Distributions of the next code: sums by hand, how often codes are drawn, and gradients against finite differences."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.generators.quantizers import FiniteScalarQuantizer
from rl_gen_lab.generators.world_models.next_code import KEEP_BONUS, CategoricalCode, MixtureCode, next_code_of

TOKENS = CategoricalCode(FiniteScalarQuantizer((4, 3)), 2)


def test_digits_and_vectors_of_tokens_agree() -> None:
    every = torch.arange(12)[:, None].expand(-1, 2)
    digits = TOKENS.digits(every)
    assert torch.equal((digits * TOKENS.quantizer.places).sum(-1), every)
    assert TOKENS.read(every).shape == (12, TOKENS.features) and len(TOKENS.read(every).unique(dim=0)) == 12


def test_at_first_a_coordinate_stays_by_its_bonus() -> None:
    present = torch.tensor([[5, 7]])
    stay = sum(math.log(math.exp(KEEP_BONUS) / (math.exp(KEEP_BONUS) + levels - 1)) for levels in (4, 3, 4, 3))
    found = TOKENS.nats(torch.zeros(1, TOKENS.outputs), present, present)
    assert float(found) == pytest.approx(-stay, rel=1e-5)


def test_probabilities_of_all_next_tokens_sum_to_one() -> None:
    torch.manual_seed(0)
    pairs = torch.cartesian_prod(torch.arange(12), torch.arange(12))
    out = torch.randn(1, TOKENS.outputs).expand(len(pairs), -1)
    nats = TOKENS.nats(out, torch.tensor([[3, 9]]).expand(len(pairs), -1), pairs)
    assert float((-nats).exp().sum()) == pytest.approx(1, abs=1e-4)


def test_tokens_are_drawn_as_often_as_they_are_likely() -> None:
    torch.manual_seed(0)
    out, present = torch.randn(1, TOKENS.outputs).expand(20_000, -1), torch.tensor([[3, 9]]).expand(20_000, -1)
    drawn = TOKENS.draw(out, present, 1.0, torch.Generator().manual_seed(0))
    value, count = drawn.unique(dim=0, return_counts=True)
    nats = TOKENS.nats(out[: len(value)], present[: len(value)], value)
    assert (count / 20_000 - (-nats).exp()).abs().max() < 0.015
    likeliest = TOKENS.draw(out[:1], present[:1], 0.0, None)
    assert torch.equal(likeliest, TOKENS.draw(out[:1], present[:1], 0.0, None))


def test_a_mixture_is_the_sum_of_its_gaussians() -> None:
    torch.manual_seed(0)
    mixture = MixtureCode(2, 3)
    out, present, following = torch.randn(1, mixture.outputs), torch.randn(1, 2), torch.randn(1, 2)
    shares, moves, spreads = out[0].split([3, 6, 6])
    total = 0.0
    for k in range(3):
        normal = torch.distributions.Normal(present[0] + moves[2 * k : 2 * k + 2], spreads[2 * k : 2 * k + 2].exp())
        total += float(shares.softmax(0)[k] * normal.log_prob(following[0]).sum().exp())
    assert float(mixture.nats(out, present, following)) == pytest.approx(-math.log(total), rel=1e-4)


def test_the_gradient_of_a_mixture_is_that_of_finite_differences() -> None:
    torch.manual_seed(0)
    mixture = MixtureCode(2, 2)
    out = torch.randn(1, mixture.outputs, requires_grad=True)
    present, following = torch.randn(1, 2), torch.randn(1, 2)
    mixture.nats(out, present, following).sum().backward()
    assert out.grad is not None
    for place in range(mixture.outputs):
        step = torch.zeros_like(out)
        step[0, place] = 1e-2
        with torch.no_grad():
            above, below = (mixture.nats(out + sign * step, present, following) for sign in (1, -1))
        assert float(out.grad[0, place]) == pytest.approx(float((above - below) / 2e-2), abs=2e-3)


def test_numbers_are_drawn_with_their_spread_and_at_temperature_0_the_mean() -> None:
    mixture = MixtureCode(1, 1)
    out = torch.tensor([[0.0, 2.0, math.log(0.5)]]).expand(20_000, -1)
    drawn = mixture.draw(out, torch.ones(20_000, 1), 1.0, torch.Generator().manual_seed(0))
    assert float(drawn.mean()) == pytest.approx(3, abs=0.02) and float(drawn.std()) == pytest.approx(0.5, abs=0.02)
    assert float(mixture.draw(out[:1], torch.ones(1, 1), 0.0, None)) == 3


def test_a_network_without_codes_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"--dream\.generator"):
        next_code_of(nn.Linear(1, 1), 5)
