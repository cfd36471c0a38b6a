"""Magnitude pruning: which weights go, how fast, and that they may come back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from rl_gen_lab.compression.layers import parametrizations
from rl_gen_lab.compression.pruning import Pruned, Pruner, Scope, cubic, kept_share


def layers_of(seed: int = 0) -> dict[str, nn.Module]:
    torch.manual_seed(seed)
    made: dict[str, nn.Module] = {"a": nn.Linear(9, 7), "b": nn.Conv2d(2, 5, 3), "c": nn.Linear(4, 2)}
    with torch.no_grad():
        made["a"].weight *= 100
    return made


def behind(module: Any) -> Tensor:
    found: Tensor = module.parametrizations.weight.original
    return found


def masks(layers: dict[str, nn.Module]) -> list[np.ndarray]:
    return [parametrizations(module)[0].mask.numpy() for module in layers.values()]  # type: ignore[operator]


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.sampled_from([0.05, 0.3, 0.5, 0.9]))
def test_the_smallest_of_the_network_go_by_the_size_of_their_layer(seed: int, kept: float) -> None:
    layers = layers_of(seed)
    exact = [module.weight.detach().double().numpy() for module in layers.values()]
    Pruner(list(layers.items()), kept, "network").update(1.0)
    relative = np.concatenate([np.abs(w / np.sqrt(np.mean(w**2))).ravel() for w in exact])
    order = np.argsort(relative)
    cut = int((1 - kept) * len(order))
    found = np.concatenate([mask.ravel() for mask in masks(layers)])
    assert set(np.flatnonzero(~found)) == set(order[:cut])
    for mask, module, before in zip(masks(layers), layers.values(), exact, strict=True):
        np.testing.assert_array_equal(module.weight.detach(), np.where(mask, before.astype(np.float32), 0))


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.sampled_from([0.05, 0.3, 0.5, 0.9]))
def test_the_smallest_of_each_layer_go(seed: int, kept: float) -> None:
    layers = layers_of(seed)
    Pruner(list(layers.items()), kept, "layer").update(1.0)
    for module, mask in zip(layers.values(), masks(layers), strict=True):
        sizes = behind(module).detach().abs().numpy()
        cut = int((1 - kept) * sizes.size)
        assert set(np.flatnonzero(~mask)) == set(np.argsort(sizes.ravel())[:cut])


@pytest.mark.parametrize("scope", ["network", "layer"])
@pytest.mark.parametrize("kept", [0.1, 0.35, 1.0])
def test_the_share_that_stays_is_reached(scope: Scope, kept: float) -> None:
    network = nn.Sequential(nn.Linear(60, 50), nn.Linear(50, 40))
    assert kept_share(network) == 1
    pruner = Pruner(list(network.named_children()), kept, scope)
    for progress in np.linspace(0.1, 1, 10):
        pruner.update(float(progress))
    assert kept_share(network) == pytest.approx(kept, abs=1e-3)
    assert int((network[0].weight == 0).sum() + (network[1].weight == 0).sum()) == round((1 - kept) * 5_000)


def test_the_schedule_is_cubic() -> None:
    assert [cubic(p, 0.8, 1.0) for p in (0, 0.5, 1)] == pytest.approx([0, 0.8 * 7 / 8, 0.8])
    assert cubic(0.35, 0.8) == pytest.approx(0.8 * 7 / 8) and cubic(0.7, 0.8) == cubic(1.0, 0.8) == 0.8
    # eq. 1: s_f + (s_i - s_f) (1 - t)^3
    assert cubic(0.35, 0.8, start=0.5) == pytest.approx(0.8 + (0.5 - 0.8) / 8) and cubic(0, 0.8, start=0.5) == 0.5
    shares = [cubic(p / 100, 0.9) for p in range(101)]
    assert shares == sorted(shares)


@pytest.mark.parametrize("scope", ["network", "layer"])
def test_the_pruner_follows_the_schedule(scope: Scope) -> None:
    network = nn.Sequential(nn.Linear(40, 50), nn.Linear(50, 40))
    pruner = Pruner(list(network.named_children()), 0.2, scope)
    for progress in (0.0, 0.1, 0.3, 0.69, 0.7, 1.0):
        pruner.update(progress)
        assert kept_share(network) == pytest.approx(1 - cubic(progress, 0.8), abs=1e-3)


@pytest.mark.parametrize("scope", ["network", "layer"])
def test_a_second_stage_goes_on_from_the_first(scope: Scope) -> None:
    network = nn.Sequential(nn.Linear(40, 50), nn.Linear(50, 40))
    layers = list(network.named_children())
    Pruner(layers, 0.5, scope).update(1.0)
    second = Pruner(layers, 0.2, scope)
    shares = []
    for progress in (0.0, 0.001, 0.35, 1.0):
        second.update(progress)
        shares.append(kept_share(network))
    assert shares == pytest.approx([0.5, 0.5, 0.2 + 0.3 / 8, 0.2], abs=3e-3)
    assert len(parametrizations(network[0])) == 1


def test_a_continued_second_stage_knows_where_it_began() -> None:
    networks = [nn.Sequential(nn.Linear(20, 20)), nn.Sequential(nn.Linear(20, 20))]
    pruners = []
    for network in networks:
        layers = list(network.named_children())
        first = Pruner(layers, 0.5, "network")
        if not pruners:
            first.update(1.0)
        pruners.append(Pruner(layers, 0.2, "network"))
    pruners[0].update(0.3)
    networks[1].load_state_dict(networks[0].state_dict())
    for pruner in pruners:
        pruner.update(0.35)
    assert kept_share(networks[0]) == kept_share(networks[1]) == pytest.approx(0.2 + 0.3 / 8, abs=0.005)


def test_gradients_reach_masked_weights() -> None:
    step = Pruned(torch.ones(2, 3))
    step.mask[0] = False
    weight = torch.randn(2, 3, requires_grad=True)
    found = step(weight)
    incoming = torch.arange(6.0).view(2, 3)
    (found * incoming).sum().backward()
    assert not found[0].any() and torch.equal(found[1], weight[1])
    assert weight.grad is not None and torch.equal(weight.grad, incoming)


def test_a_masked_weight_that_grows_comes_back() -> None:
    layer = nn.Linear(4, 1, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[0.1, 1.0, -2.0, 3.0]]))
    pruner = Pruner([("layer", layer)], 0.75, "network")
    pruner.update(1.0)
    assert layer.weight.tolist() == [[0, 1, -2, 3]]
    with torch.no_grad():
        behind(layer)[0, 0] = -1.5
    assert layer.weight.tolist() == [[0, 1, -2, 3]]  # until masks are chosen anew
    pruner.update(1.0)
    assert layer.weight.tolist() == [[-1.5, 0, -2, 3]]


def test_weights_of_one_size_go_together() -> None:
    layer = nn.Linear(6, 1, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, -2, 2, 3, -2, 5]]))
    Pruner([("layer", layer)], 4 / 6, "layer").update(1.0)
    assert layer.weight.tolist() == [[0, 0, 0, 3, 0, 5]]


@pytest.mark.parametrize("scope", ["network", "layer"])
def test_nothing_goes_where_all_is_kept_and_zeros_do_no_harm(scope: Scope) -> None:
    layers = layers_of()
    nn.init.zeros_(layers["c"].weight)  # type: ignore[arg-type]
    before = [module.weight.detach().clone() for module in layers.values()]
    pruner = Pruner(list(layers.items()), 1.0, scope)
    pruner.update(1.0)
    assert all(mask.all() for mask in masks(layers))
    assert all(torch.equal(m.weight, b) for m, b in zip(layers.values(), before, strict=True))
    Pruner(list(layers.items()), 0.5, scope).update(1.0)
    assert all(module.weight.isfinite().all() for module in layers.values())
