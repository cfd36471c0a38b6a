"""Scores of disentanglement: a code of the factors gets 1, a rotated one little, noise nothing."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from rl_gen_lab.generators import disentanglement

TURN = torch.tensor([[1.0, 1.0], [1.0, -1.0]]) / math.sqrt(2)


def data() -> tuple[Tensor, dict[str, Tensor], Tensor]:
    """Factors, the same by name, and noise."""
    generator = torch.Generator().manual_seed(2)
    factors = torch.randint(10, (4_000, 2), generator=generator).float()
    return factors, {"x": factors[:, 0], "y": factors[:, 1]}, torch.randn(4_000, 2, generator=generator)


def test_the_mutual_information_gap() -> None:
    factors, truth, noise = data()
    assert all(gap > 0.98 for gap in disentanglement.mutual_information_gap(factors, truth).values())
    assert all(abs(gap) < 0.1 for gap in disentanglement.mutual_information_gap(factors @ TURN, truth).values())
    truth |= {"still": torch.ones(4_000), "none": torch.full((4_000,), float("nan"))}
    assert set(disentanglement.mutual_information_gap(factors, truth)) == {"x", "y"}
    assert all(abs(gap) < 0.05 for gap in disentanglement.mutual_information_gap(noise, truth).values())


def test_separated_attribute_predictability() -> None:
    factors, truth, noise = data()
    assert all(gap > 0.99 for gap in disentanglement.separated_attribute_predictability(factors, truth).values())
    turned = disentanglement.separated_attribute_predictability(factors @ TURN, truth)
    assert all(gap < 0.05 for gap in turned.values())
    assert all(gap < 0.01 for gap in disentanglement.separated_attribute_predictability(noise, truth).values())
    assert disentanglement.separated_attribute_predictability(factors[:, :1], truth) == {}


def test_disentanglement_completeness_and_informativeness() -> None:
    factors, truth, noise = data()
    own = disentanglement.dci(factors, truth)
    assert all(value > 0.9 for value in own.values())
    turned = disentanglement.dci(factors @ TURN, truth)
    assert turned["disentanglement"] < 0.05 and turned["completeness"] < 0.05 and turned["informativeness"] > 0.99
    assert disentanglement.dci(noise, truth)["informativeness"] < 0.01
    twice = disentanglement.dci(torch.cat((factors, factors[:, :1]), 1), truth)
    assert twice["disentanglement"] > 0.9 > twice["completeness"]  # one factor in two numbers
    assert disentanglement.dci(factors, {"still": torch.ones(4_000)}) == {}
