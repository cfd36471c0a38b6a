"""Parameter groups: one for an untrained network, two where a backbone is pretrained."""

import pytest
import torch
from torch import nn

from agents.rl.optimizers import parameter_groups, set_learning_rate
from agents.rl.q_networks import QNetwork


def test_without_a_trained_backbone_the_optimizer_has_the_one_group_it_always_had() -> None:
    network = QNetwork("mlp", (4,), 2, dueling=True)
    (group,) = parameter_groups(network, 1.0, None)
    assert group.keys() == {"params"}
    assert [id(p) for p in group["params"]] == [id(p) for p in network.parameters()]


def test_a_schedule_moves_both_groups_and_keeps_their_ratio() -> None:
    network = QNetwork("mlp", (4,), 2, dueling=True)
    optimizer = torch.optim.Adam(parameter_groups(network, 1e-3, 0.1), lr=1e-3)
    assert [group["lr"] for group in optimizer.param_groups] == [1e-3, 1e-4]
    set_learning_rate(optimizer, 5e-4)
    assert [group["lr"] for group in optimizer.param_groups] == [5e-4, pytest.approx(5e-5)]
    counted = sum(len(group["params"]) for group in optimizer.param_groups)
    assert counted == len(list(network.parameters()))


def test_parts_of_a_network_get_optimizers_of_their_own() -> None:
    network = nn.Module()
    network.backbone, network.head, network.other = nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2)
    new, trained = parameter_groups(network, 1.0, 0.5, [network.backbone, network.head])
    assert [p is q for p, q in zip(new["params"], network.head.parameters(), strict=True)] == [True, True]
    assert [p is q for p, q in zip(trained["params"], network.backbone.parameters(), strict=True)] == [True, True]
