"""Layers by name, across the networks of an ensemble, and new random weights for some of them."""

from __future__ import annotations

import torch
from explained_models import Curved

from agents.rl.q_networks import QEnsemble, QNetwork
from rl_gen_lab.explain.layers import learned_layers, parts, randomized, subtracted


def q_network(dueling: bool = False) -> QNetwork:
    torch.manual_seed(0)
    network = QNetwork("4x8s4-4x4s2-8", (4, 36, 36), 3, dueling)
    network.standardize(torch.randint(0, 255, (6, 1, 36, 36), dtype=torch.uint8))
    return network.eval()


def test_layers_are_listed_from_the_output_down_with_both_heads_first() -> None:
    names = learned_layers(q_network(dueling=True))
    assert names == [["advantage", "value"], ["backbone.fc"], ["backbone.conv.2"], ["backbone.conv.0"]]
    assert learned_layers(Curved())[0] == ["fc", "head"]


def test_the_networks_of_an_ensemble_are_randomized_together() -> None:
    ensemble = QEnsemble(q_network(), 2)
    ensemble.snapshot()
    other = randomized(ensemble, ["advantage"])
    assert len(parts(other, "advantage")) == 3
    for before, after in zip(parts(ensemble, "advantage"), parts(other, "advantage"), strict=True):
        assert not torch.equal(before.weight, after.weight)  # type: ignore[arg-type]
    torch.testing.assert_close(parts(other, "backbone.fc")[0].weight, parts(ensemble, "backbone.fc")[0].weight)


def test_a_twin_keeps_the_mean_and_the_scale_of_pixels_and_no_weight() -> None:
    network = q_network()
    twin = randomized(network)
    for name, value in network.state_dict().items():
        kept = torch.equal(value, twin.state_dict()[name])
        assert kept == name.endswith(("mean", "scale")), name
    assert torch.equal(subtracted(twin), network.backbone.conv[0].mean)  # type: ignore[index,union-attr,arg-type]


def test_randomizing_is_repeatable_and_leaves_the_global_randomness_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first, second = (randomized(q_network_without_seed, None, 3) for q_network_without_seed in (Curved(), Curved()))
    assert torch.equal(first.head.weight, second.head.weight)  # type: ignore[union-attr,arg-type]
    torch.manual_seed(5)
    randomized(first, None, 1)
    assert torch.equal(torch.rand(1), expected)
    assert subtracted(first) == 0.0
