"""Codes of the change: closed forms in float64, how often values are drawn, gradients, and chance that they carry."""

from __future__ import annotations

import math

import torch

from rl_gen_lab.generators.world_models.codes import ChangeCodes, code_nats, drawn_codes


def test_nats_are_the_sum_over_all_values() -> None:
    q = torch.tensor([[[0.5, 0.25, 0.25], [1.0, 0.0, 0.0]]], dtype=torch.float64)
    p = torch.tensor([[[0.25, 0.5, 0.25], [0.1, 0.2, 0.7]]], dtype=torch.float64)
    expected = 0.5 * math.log(2) + 0.25 * math.log(0.5) + math.log(10)
    found = code_nats(q.clamp_min(1e-300).log(), p.log())
    assert abs(float(found) - expected) < 1e-9
    assert float(code_nats(p.log(), p.log())) == 0


def test_codes_are_drawn_as_often_as_they_are_likely() -> None:
    shares = torch.tensor([0.6, 0.3, 0.1])
    draws = torch.Generator().manual_seed(0)
    drawn = drawn_codes(shares.log().expand(20_000, 1, 3), 1.0, draws)
    assert (drawn.mean((0, 1)) - shares).abs().max() < 0.01
    assert torch.equal(
        drawn_codes(shares.log().expand(5, 1, 3), 0.0)[:, 0].argmax(1), torch.zeros(5, dtype=torch.int64)
    )


def test_the_gradient_of_a_drawn_code_is_that_of_its_probability() -> None:
    logits = torch.randn(4, 2, 5, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(4, 2, 5, dtype=torch.float64)
    (through,) = torch.autograd.grad((drawn_codes(logits) * weights).sum(), logits)
    (expected,) = torch.autograd.grad((logits.softmax(-1) * weights).sum(), logits)
    assert torch.allclose(through, expected, atol=1e-12)


def test_the_prior_sees_the_past_alone() -> None:
    codes = ChangeCodes(2, 3, past=5, colors=2, width=4, coarse=(1, 1))
    past = torch.randn(1, 5)
    before = torch.zeros(1, 2, 16, 8, 8)
    after = torch.rand(1, 2, 16, 8, 8)
    assert codes.prior_logits(past).shape == (1, 2, 3)
    assert not torch.equal(codes.posterior_logits(past, before, before), codes.posterior_logits(past, before, after))
