"""Two and three values: thresholds and sizes by hand, gradients, and what a file holds, bit by bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from rl_gen_lab.compression.coded import stored_step
from rl_gen_lab.compression.pruning import Pruner
from rl_gen_lab.compression.ternary import Binary, Ternary, binarize, ternarize


def weight_of(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_ternary_values_by_hand() -> None:
    weight = torch.tensor([[4.0, -0.5, 1.3], [-2.5, 0.0, 2.0]])  # mean size of the five that count: 2.06
    ternary = Ternary(weight)
    assert float(ternary.positive.detach()) == 3 and float(ternary.negative.detach()) == 2.5
    assert ternary(weight).tolist() == [[3, 0, 0], [-2.5, 0, 3]]
    ternary.positive.data.fill_(0.5)
    assert ternary(weight).tolist() == [[0.5, 0, 0], [-2.5, 0, 0.5]]


def test_ternary_gradients_by_hand() -> None:
    weight = torch.tensor([[4.0, -0.5, 1.0], [-2.5, 0.0, 2.0]], requires_grad=True)
    ternary = Ternary(weight)
    incoming = torch.tensor([[1.0, 10.0, 100.0], [1e3, 1e4, 1e5]])
    (ternary(weight) * incoming).sum().backward()
    assert float(ternary.positive.grad) == 100_001 and float(ternary.negative.grad) == -1_000  # type: ignore[arg-type]
    assert weight.grad is not None and torch.equal(weight.grad, incoming)


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.floats(-3, 2), st.floats(0.3, 3))
def test_ternary_values_are_those_of_the_file_bit_by_bit(seed: int, size: float, moved: float) -> None:
    weight = weight_of(seed, 6, 7) * 10**size
    ternary = Ternary(weight)
    ternary.positive.data *= moved
    found, stored = ternary(weight).detach().numpy(), ternary.coded(weight)
    np.testing.assert_array_equal(stored.values(), found)
    high, low = (np.float32(np.float16(part.detach())) for part in (ternary.positive, ternary.negative))
    threshold = 0.7 * weight.abs().double().mean().item()
    expected = np.where(weight > threshold, high, np.where(weight < -threshold, -low, 0))
    np.testing.assert_array_equal(found, expected)
    assert stored.codes is not None and set(np.unique(stored.codes)) <= {0, 1, 2}


@pytest.mark.parametrize(("sign", "count"), [(1, 1), (-1, 1), (0, 0)])
def test_a_weight_without_a_sign_has_fewer_values(sign: int, count: int) -> None:
    weight = sign * torch.tensor([[1.0, 2.0, 3.0]])
    ternary = Ternary(weight)
    found = ternary(weight)
    assert len(found[found != 0].unique()) == count
    np.testing.assert_array_equal(ternary.coded(weight).values(), found.detach())
    found.sum().backward()
    assert ternary.positive.grad is not None and ternary.positive.grad.isfinite()


def test_a_pruned_layer_keeps_its_zeros() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(10, 10)
    Pruner([("layer", layer)], 0.3, "layer").update(1.0)
    pruned = layer.weight == 0
    remaining = layer.weight.detach()[~pruned].abs()
    ternarize([("layer", layer)])
    assert not layer.weight[pruned].any()
    # the mean is that of the weights that are left
    np.testing.assert_array_equal(layer.weight[~pruned].detach() != 0, remaining > 0.7 * remaining.mean())


def test_binary_values_are_signs_times_the_mean_size_of_the_row() -> None:
    weight = torch.tensor([[1.0, -3.0], [0.0, -0.5], [-8.0, -8.0]])
    assert Binary()(weight).tolist() == [[2, -2], [0.25, -0.25], [-8, -8]]
    assert Binary().step(weight).tolist() == [2, 0.25, 8]


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.sampled_from([(5, 7), (1, 9), (4, 2, 3, 3), (3, 1, 1, 2)]), st.floats(-4, 2))
def test_binary_values_are_those_of_the_file_bit_by_bit(seed: int, shape: tuple[int, ...], size: float) -> None:
    weight, binary = weight_of(seed, *shape) * 10**size, Binary()
    found, stored = binary(weight), binary.coded(weight)
    np.testing.assert_array_equal(stored.values(), found)
    exact = weight.double().abs().flatten(1).mean(1).numpy()  # eq. 6
    np.testing.assert_allclose(found.abs().flatten(1).amax(1), exact, rtol=2**-8 + 1e-6)
    np.testing.assert_array_equal(stored.numbers, stored_step(binary.step(weight).numpy()))
    assert torch.equal(found.sign(), torch.where(weight >= 0, 1.0, -1.0))
    rows = found.abs().flatten(1)
    assert torch.equal(rows, rows[:, :1].expand_as(rows))


def test_binary_gradients_pass_below_one() -> None:
    weight = torch.tensor([[0.5, -0.99, 1.5], [-2.0, 0.0, 0.1]], requires_grad=True)
    incoming = torch.arange(1.0, 7).view(2, 3)
    (Binary()(weight) * incoming).sum().backward()
    assert weight.grad is not None and weight.grad.tolist() == [[1, 2, 0], [0, 5, 6]]


def test_a_row_of_zeros_is_almost_zero() -> None:
    found = Binary()(torch.zeros(2, 3))
    assert 0 < found.abs().max() < 1e-11
    np.testing.assert_array_equal(Binary().coded(torch.zeros(2, 3)).values(), found)


def test_layers_take_few_values_in_place() -> None:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Linear(6, 4), nn.Conv2d(2, 3, 3))
    binarize([("0", layers[0])])
    ternarize([("1", layers[1])])
    assert all(len(row.unique()) == 2 for row in layers[0].weight)
    assert len(layers[1].weight.unique()) == 3
