"""Levels: values, gradients by the formulas of the paper in float64, and what a file holds, bit by bit."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from rl_gen_lab.compression.coded import stored_step
from rl_gen_lab.compression.levels import Levels, cheapest, quantize


def weight_of(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.integers(2, 8), st.floats(-3, 2), st.floats(-6, 2))
def test_values_are_those_of_the_file_bit_by_bit(seed: int, bits: int, moved: float, size: float) -> None:
    weight = weight_of(seed, 5, 7) * 10**size
    levels = Levels(weight, bits)
    levels.log_step.data += moved
    found, stored = levels(weight).detach().numpy(), levels.coded(weight)
    np.testing.assert_array_equal(stored.values(), found)
    step = levels.step().detach().numpy()
    kept = stored_step(levels.log_step.detach().exp().numpy())[0]
    np.testing.assert_array_equal(step, kept)  # the distance that is used is the one of the file
    places = found / step
    np.testing.assert_array_equal(places, np.rint(places))
    assert np.abs(places).max() <= 2 ** (bits - 1) - 1
    expected = np.clip(np.rint(weight.numpy() / step), 1 - 2 ** (bits - 1), 2 ** (bits - 1) - 1)
    np.testing.assert_array_equal(places, expected)


def test_the_distance_is_exactly_the_one_of_the_file_for_layers_of_any_size() -> None:
    for seed in range(500):
        rng = np.random.default_rng(seed)
        levels = Levels(torch.ones(int(rng.integers(1, 2_000))), int(rng.integers(2, 9)))
        levels.log_step.data.fill_(float(rng.uniform(-9, 3)))
        assert float(levels.step().detach()) == stored_step(levels.log_step.detach().exp().numpy())[0], seed


@pytest.mark.parametrize(("bits", "highest"), [(2, 1), (3, 3), (4, 7), (8, 127)])
def test_the_first_distance_is_that_of_the_paper(bits: int, highest: int) -> None:
    weight = torch.tensor([0.0, 0.5, -1.5, 0.0])  # zeros are pruned: the mean size is 1
    levels = Levels(weight, bits)
    assert levels.highest == highest
    assert float(levels.log_step.detach().exp()) == pytest.approx(2 / math.sqrt(highest))
    assert float(levels.step().detach()) == pytest.approx(2 / math.sqrt(highest), rel=2**-8)


@pytest.mark.parametrize("bits", [2, 3, 5])
def test_gradients_are_those_of_learned_step_sizes(bits: int) -> None:
    weight = weight_of(3, 6, 4).requires_grad_(True)
    levels, incoming = Levels(weight, bits), weight_of(4, 6, 4)
    levels.log_step.data -= 1.0  # some weights are cut off
    (levels(weight) * incoming).sum().backward()
    assert weight.grad is not None and levels.log_step.grad is not None
    step, highest = float(levels.step().detach()), 2 ** (bits - 1) - 1
    places, out = weight.detach().double().numpy() / step, incoming.double().numpy()
    inside = np.abs(places) < highest
    assert 0 < inside.sum() < inside.size
    np.testing.assert_allclose(weight.grad, np.where(inside, out, 0), rtol=1e-5)
    by_step = np.where(inside, np.rint(places) - places, np.sign(places) * highest)  # eq. 3
    scale = 1 / math.sqrt(weight.numel() * highest)  # section 2.2
    expected = (out * by_step).sum() * scale * math.exp(float(levels.log_step.detach()))  # d step / d log step = step
    assert float(levels.log_step.grad) == pytest.approx(expected, rel=1e-4)


def test_the_distance_learns_to_lower_the_error() -> None:
    weight = weight_of(5, 40, 40)
    levels = Levels(weight, 3)
    levels.log_step.data += 1.5
    optimizer = torch.optim.Adam(levels.parameters(), 0.05)
    errors = []
    for _ in range(60):
        error = (levels(weight) - weight).square().mean()
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
        errors.append(float(error.detach()))
    steps = np.linspace(0.05, 2, 400)
    best = min(np.mean((np.clip(np.rint(weight.numpy() / s), -3, 3) * s - weight.numpy()) ** 2) for s in steps)
    assert errors[0] > 10 * best and errors[-1] < 1.25 * best


@pytest.mark.parametrize("bits", [2, 8])
def test_a_weight_of_zeros_stays_zero(bits: int) -> None:
    weight = torch.zeros(3, 4, requires_grad=True)
    levels = Levels(weight, bits)
    found = levels(weight)
    found.sum().backward()
    assert not found.any() and levels.log_step.grad == 0
    assert not levels.coded(weight).values().any()


def test_layers_are_quantized_in_place() -> None:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Linear(4, 8), nn.Conv2d(2, 3, 3))
    before = layers[0].weight.detach().clone()
    quantize(list(layers.named_children()), 4)
    assert len(layers[0].weight.unique()) <= 15 and len(layers[1].weight.unique()) <= 15
    assert (layers[0].weight - before).abs().max() < before.abs().max() / 2
    assert [name for name, _ in layers.named_parameters()] == [
        *("0.bias", "0.parametrizations.weight.original", "0.parametrizations.weight.0.log_step"),
        *("1.bias", "1.parametrizations.weight.original", "1.parametrizations.weight.0.log_step"),
    ]


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.floats(0.01, 2), st.floats(0.3, 4))
def test_rate_and_distortion_are_weighed_as_by_trying_all_candidates(seed: int, rate: float, spread: float) -> None:
    places = spread * weight_of(seed, 200)
    found = cheapest(places, rate)
    nearest = places.round().int().tolist()
    shares = {k: (nearest.count(k) + 1) for k in range(-max(map(abs, nearest)), max(map(abs, nearest)) + 1)}
    total = sum(shares.values())
    for place, near, chosen in zip(places.tolist(), nearest, found.tolist(), strict=True):
        costs = {k: (place - k) ** 2 - rate * math.log2(shares[k] / total) for k in (near, near - np.sign(near), 0)}
        assert costs[chosen] == pytest.approx(min(costs.values()), rel=1e-4, abs=1e-4)


def test_a_rate_makes_files_smaller_at_a_larger_error() -> None:
    weight = weight_of(0, 100, 100)
    sizes, errors = [], []
    for rate in (0.0, 0.1, 1.0):
        levels = Levels(weight, 4, rate)
        stored = levels.coded(weight)
        sizes.append(stored.order0_bytes())
        errors.append(float(np.square(stored.values() - weight.numpy()).mean()))
        np.testing.assert_array_equal(stored.values(), levels(weight).detach().numpy())
    assert sizes == sorted(sizes, reverse=True) and errors == sorted(errors) and sizes[2] < 0.9 * sizes[0]


def test_zeros_stay_zeros_and_the_gradient_passes_as_before() -> None:
    weight = torch.tensor([[0.0, 0.2, -3.0, 9.0]], requires_grad=True)
    levels = Levels(weight, 3, 0.3)
    levels.log_step.data.fill_(0.0)
    levels(weight).sum().backward()
    assert float(levels(weight).detach()[0, 0]) == 0
    assert weight.grad is not None and weight.grad.tolist() == [[1, 1, 1, 0]]  # the last one is cut off
