"""Shared weights: k-means against the best clusters of a line, and the gradients and file of a codebook."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from rl_gen_lab.compression.pruning import Pruner
from rl_gen_lab.compression.sharing import Shared, k_means, share

DISTRIBUTIONS = ("normal", "laplace", "outlier", "two sides")


def drawn(distribution: str, seed: int, count: int = 120) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if distribution == "laplace":
        found = rng.laplace(size=count)
    elif distribution == "outlier":
        found = np.append(rng.normal(size=count - 1), 30)
    elif distribution == "two sides":
        found = rng.normal(size=20 * count)
        found = found[np.abs(found) > 0.8][:count]
    else:
        found = rng.normal(size=count)
    return found.astype(np.float32)


def least_cost(values: np.ndarray, count: int, weight: np.ndarray | None = None) -> float:
    """The least possible sum of squared errors of at most `count` clusters, by dynamic programming."""
    order = np.argsort(values)
    x = values[order].astype(np.float64)
    w = np.ones_like(x) if weight is None else weight[order].astype(np.float64)
    mass, first, second = (np.append(0, np.cumsum(w * x**power)) for power in range(3))
    best = np.append(0, np.full(len(x), np.inf))
    for _ in range(count):
        new = best.copy()
        for end in range(1, len(x) + 1):
            begin = np.arange(end)
            square = (first[end] - first[begin]) ** 2 / (mass[end] - mass[begin])
            new[end] = min(best[end], (best[:end] + second[end] - second[begin] - square).min())
        best = new
    return float(best[-1])


def cost(values: np.ndarray, centers: Tensor, places: Tensor, weight: np.ndarray | None = None) -> float:
    errors = (values.astype(np.float64) - centers.double().numpy()[places.numpy()]) ** 2
    return float((errors if weight is None else errors * weight).sum())


@pytest.mark.parametrize("count", [3, 7, 15])
@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_clusters_are_nearly_the_best(distribution: str, count: int) -> None:
    ratios = []
    for seed in range(4):
        values = drawn(distribution, seed)
        found = cost(values, *k_means(torch.from_numpy(values), count))
        ratios.append(found / least_cost(values, count))
    assert min(ratios) > 1 - 1e-5 and max(ratios) < 2 and np.mean(ratios) < 1.6


@pytest.mark.parametrize("count", [3, 7])
def test_errors_are_weighed_by_importance(count: int) -> None:
    ratios = []
    for seed in range(5):
        values, weight = drawn("normal", seed), np.random.default_rng(seed).exponential(size=120)
        weighed = k_means(torch.from_numpy(values), count, torch.from_numpy(weight))
        assert cost(values, *weighed, weight) < cost(values, *k_means(torch.from_numpy(values), count), weight)
        ratios.append(cost(values, *weighed, weight) / least_cost(values, count, weight))
    assert np.mean(ratios) < 1.6


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.sampled_from(DISTRIBUTIONS), st.integers(1, 20), st.booleans())
def test_each_number_has_the_nearest_center_and_each_center_is_a_mean(
    seed: int, distribution: str, count: int, weighed: bool
) -> None:
    values = drawn(distribution, seed)
    weight = np.random.default_rng(seed).uniform(0.1, 1, len(values)) if weighed else np.ones(len(values))
    centers, places = k_means(torch.from_numpy(values), count, torch.from_numpy(weight) if weighed else None)
    assert len(centers) == count and torch.equal(centers, centers.sort().values)
    distances = np.abs(values[:, None] - centers.numpy())
    np.testing.assert_allclose(distances[np.arange(len(values)), places], distances.min(1), atol=1e-6)
    for place in set(places.tolist()):
        own = places.numpy() == place
        assert float(centers[place]) == pytest.approx(np.average(values[own], weights=weight[own]), abs=1e-5)


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_further_rounds_never_do_harm(distribution: str, monkeypatch: pytest.MonkeyPatch) -> None:
    values, costs = drawn(distribution, 9), []
    for rounds in range(25):
        monkeypatch.setattr("rl_gen_lab.compression.sharing.ROUNDS", rounds)
        costs.append(cost(values, *k_means(torch.from_numpy(values), 7)))
    assert all(later <= earlier * (1 + 1e-5) for earlier, later in itertools.pairwise(costs))
    assert costs[-1] < costs[0]


def test_fewer_different_numbers_than_centers_are_kept_exactly() -> None:
    values = torch.tensor([0.5, -2.0, 0.5, 7.0, -2.0])
    centers, places = k_means(values, 8)
    torch.testing.assert_close(centers[places], values)
    centers, places = k_means(torch.full((4,), 0.25), 3, torch.zeros(4))
    assert centers[places].tolist() == [0.25] * 4


def masked_weight() -> Tensor:
    weight = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))
    weight[torch.rand(6, 5, generator=torch.Generator().manual_seed(1)) < 0.4] = 0
    return weight


@pytest.mark.parametrize("bits", [2, 3, 8])
def test_pruned_weights_stay_zero_and_others_are_near(bits: int) -> None:
    weight = masked_weight()
    shared = Shared(weight, bits)
    found = shared(weight).detach()
    assert torch.equal(found == 0, weight == 0)
    assert shared.codebook()[0] == 0 and len(shared.codebook()) == 2**bits
    assert len(found.unique()) <= 2**bits
    shared.values.data += 1
    assert torch.equal(shared(weight) == 0, weight == 0)  # whatever is learned
    nonzero = weight[weight != 0]
    best = least_cost(nonzero.numpy(), 2**bits - 1)
    assert float((found - weight).square().sum()) < 2 * best + 1e-5


def test_the_gradient_of_an_entry_is_the_sum_over_its_weights() -> None:
    weight = masked_weight()
    shared = Shared(weight, 2)
    incoming = torch.randn(6, 5, generator=torch.Generator().manual_seed(2))
    (shared(weight) * incoming).sum().backward()
    places = shared.places.numpy()
    expected = [incoming.double().numpy()[places == entry].sum() for entry in (1, 2, 3)]
    assert shared.values.grad is not None
    np.testing.assert_allclose(shared.values.grad, expected, rtol=1e-5)
    assert set(np.unique(places)) == {0, 1, 2, 3}


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.integers(2, 8), st.floats(-3, 2))
def test_values_are_those_of_the_file_bit_by_bit(seed: int, bits: int, size: float) -> None:
    weight = torch.randn(6, 7, generator=torch.Generator().manual_seed(seed)) * 10**size
    shared = Shared(weight, bits)
    shared.values.data *= 1.01
    stored = shared.coded(weight)
    np.testing.assert_array_equal(stored.values(), shared(weight).detach())
    half = shared.values.detach().numpy().astype(np.float16).astype(np.float32)
    np.testing.assert_array_equal(stored.numbers, np.append(np.float32(0), half))
    np.testing.assert_array_equal(stored.codes, shared.places)


def test_a_weight_of_zeros_has_a_codebook_too() -> None:
    shared = Shared(torch.zeros(3, 3), 4)
    assert not shared(torch.zeros(3, 3)).any() and not shared.coded(torch.zeros(3, 3)).values().any()


def test_layers_share_by_their_own_importance() -> None:
    torch.manual_seed(0)
    layers = list(nn.Sequential(nn.Linear(8, 9), nn.Linear(9, 5)).named_children())
    Pruner(layers, 0.5, "layer").update(1.0)
    before = {name: module.weight.detach().clone() for name, module in layers}
    importance = {name: torch.rand(module.weight.shape) ** 4 for name, module in layers}
    share(layers, 2, importance)
    for name, module in layers:
        assert torch.equal(module.weight == 0, before[name] == 0)
        nonzero = before[name] != 0
        centers, places = k_means(before[name][nonzero], 3, importance[name][nonzero])
        torch.testing.assert_close(module.weight[nonzero], centers[places].half().float())
