"""Channels really removed: the outputs are those of zero weights, and the plan makes another network as small."""

from __future__ import annotations

import copy
import json
import math
import random
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from agents.rl.q_networks import QNetwork
from rl_gen_lab.backbones import BACKBONES, CONFIGURABLE
from rl_gen_lab.backbones.config import BackboneConfig
from rl_gen_lab.backbones.convolutional import Convolutional
from rl_gen_lab.backbones.maps import build_configured
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.compression.channel_groups import Group
from rl_gen_lab.compression.structured import apply_plan, dead_units, groups, importance, prune_channels, remove

FIXED = [(name, {}) for name in BACKBONES if name not in CONFIGURABLE]
CHOICES: list[tuple[str, dict[str, Any]]] = [
    *FIXED,
    *((name, {"norm": norm}) for name in CONFIGURABLE for norm in ("group", "batch", "none")),
    ("resnet", {"norm": "batch", "head": "linear", "drop_path": 0.5, "downsample": "max"}),
    ("fractalnet", {"norm": "batch", "drop_path": 0.5, "drop_connect": 0.5, "dropout": 0.3, "activation": "elu"}),
]


class Headed(nn.Module):
    """A backbone with a linear head, all its numbers random, in evaluation mode."""

    def __init__(self, name: str, seed: int = 0, **choices: Any) -> None:
        super().__init__()
        self.backbone = build_configured(name, shape_for(name), BackboneConfig(**choices) if choices else None)
        self.head = nn.Linear(int(self.backbone.out_features), 3)  # type: ignore[arg-type]
        randomize(self, seed)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.backbone(x))
        return out


def shape_for(name: str) -> tuple[int, ...]:
    return (5,) if name.startswith("mlp") else (4, 36, 36) if name in ("nature", "small") else (4, 16, 16)


def examples(name: str, count: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    if name.startswith("mlp"):
        return torch.randn(count, *shape_for(name), generator=generator)
    return torch.randint(0, 256, (count, *shape_for(name)), dtype=torch.uint8, generator=generator)


@torch.no_grad()
def randomize(network: nn.Module, seed: int) -> None:
    """Biases and normalizations that are not 0 and 1."""
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        for name, tensor in (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)):
            norm = isinstance(module, nn.BatchNorm2d | nn.GroupNorm)
            if name == "running_var" or (norm and name == "weight"):
                tensor.uniform_(0.5, 1.5, generator=generator)
            elif name in ("bias", "running_mean"):
                tensor.normal_(0, 0.1, generator=generator)
            elif name == "mean":  # the mean frame that ScaledConv2d subtracts
                tensor.uniform_(50, 200, generator=generator)
    network.eval()


def some(found: list[Group]) -> list[Group]:
    """About half of the groups at random; the first of each layer stays."""
    rng, seen, chosen = random.Random(0), set[str](), []
    for group in found:
        layers = {part.layer for part in group.outputs}
        if layers <= seen and rng.random() < 0.6:
            chosen.append(group)
        seen |= layers
    return chosen


@torch.no_grad()
def unread(network: nn.Module, chosen: list[Group]) -> nn.Module:
    """A copy with zero weights where these channels are read."""
    zeroed = copy.deepcopy(network)
    for group in chosen:
        for part in group.inputs:
            zeroed.get_submodule(part.layer).weight[:, list(part.index)] = 0.0  # type: ignore[index,operator]
    return zeroed


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def assert_consistent(network: Headed) -> None:
    """Numbers that layers and backbones keep about themselves are those of their tensors."""
    for module in network.modules():
        for name in {"num_features", "num_channels", "out_features", "out_channels"} & vars(module).keys():
            if isinstance(weight := getattr(module, "weight", None), Tensor):
                assert len(weight) == getattr(module, name)
        if isinstance(module, nn.Linear):
            assert module.weight.shape[1] == module.in_features
        elif isinstance(module, nn.Conv2d):
            assert module.weight.shape[1] * module.groups == module.in_channels
    assert network.backbone.out_features == network.head.in_features
    if isinstance(network.backbone, Convolutional):
        maps = network.backbone.maps(torch.zeros(1, *network.backbone.shape, dtype=torch.uint8))
        assert [known.channels for known in network.backbone.feature_maps] == [map_.shape[1] for map_ in maps]


@pytest.mark.parametrize(("name", "choices"), CHOICES)
def test_removed_channels_are_as_channels_that_nobody_reads(name: str, choices: dict[str, Any]) -> None:
    network, x = Headed(name, **choices), examples(name)
    chosen = some(groups(network, x))
    expected = unread(network, chosen)(x)
    before, full = parameters(network), network(x)
    plan = remove(network, chosen)
    assert chosen and parameters(network) < 0.8 * before
    assert (expected - full).abs().max() > 1e-3  # they mattered
    torch.testing.assert_close(network(x), expected, rtol=1e-5, atol=1e-5)
    fresh = Headed(name, seed=1, **choices)
    apply_plan(fresh, json.loads(json.dumps(plan)))
    fresh.load_state_dict(network.state_dict())
    assert torch.equal(fresh(x), network(x))
    assert_consistent(network)
    assert_consistent(fresh)
    network.train()(x).sum().backward()  # it can be trained on
    assert all(parameter.grad is not None for parameter in network.head.parameters())


@pytest.mark.parametrize("dueling", [False, True])
def test_a_q_network_keeps_its_actions(dueling: bool) -> None:
    network, x = QNetwork("tiny", (2, 8, 8), 4, dueling).eval(), torch.randint(0, 256, (3, 2, 8, 8), dtype=torch.uint8)
    plan = prune_channels(network, x, 0.25)
    assert plan == {
        **{"backbone.conv.0.out_channels": 12, "backbone.fc.in_features": 12 * 36, "backbone.fc.out_features": 96},
        **{"advantage.in_features": 96} | ({"value.in_features": 96} if dueling else {}),
    }
    assert network(x).shape == (3, 4) and network.backbone.conv[0].mean.shape == (2, 8, 8)  # type: ignore


@pytest.mark.parametrize(("name", "choices"), [*FIXED, ("squeezenet", {"norm": "batch"})])
def test_asking_for_everything_leaves_one_channel(name: str, choices: dict[str, Any]) -> None:
    network, x = Headed(name, **choices), examples(name)
    prune_channels(network, x, 1.0)
    layers = [module for module in network.backbone.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    assert {len(layer.weight) for layer in layers} == {1}
    assert network(x).shape == (3, 3) and network(x).isfinite().all()
    assert prune_channels(network, x, 1.0) == {}


def test_a_normalized_group_is_the_least_that_stays() -> None:
    network = Headed("resnet", norm="group")
    prune_channels(network, examples("resnet"), 1.0)
    norms = [module for module in network.modules() if isinstance(module, nn.GroupNorm)]
    assert {module.num_groups for module in norms} == {1} and {norm.num_channels for norm in norms} == {2, 4, 8}


@given(st.integers(2, 12), st.integers(2, 12), st.floats(0, 1))
@settings(max_examples=60)
def test_each_layer_loses_its_share_rounded_down(first: int, second: int, share: float) -> None:
    network = nn.Sequential(nn.Linear(3, first), nn.ReLU(), nn.Linear(first, second), nn.ReLU(), nn.Linear(second, 2))
    prune_channels(network, torch.zeros(1, 3), share)
    left = [max(math.ceil(size - share * size - 1e-9), 1) for size in (first, second)]
    assert [len(network[i].weight) for i in (0, 2, 4)] == [*left, 2]  # type: ignore


@torch.no_grad()
def test_importance_by_magnitude_is_the_relative_norm_of_all_slices() -> None:
    network = nn.Sequential(nn.Conv2d(2, 3, 2), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(27, 2))
    randomize(network, 0)
    conv, norm, fc = ({key: w.double().numpy() for key, w in network[i].named_parameters()} for i in (0, 1, 4))
    scores = importance(network, groups(network, torch.zeros(1, 2, 4, 4)))
    rows = (conv["weight"] ** 2).sum((1, 2, 3)) + conv["bias"] ** 2
    scales = norm["weight"] ** 2 + norm["bias"] ** 2
    columns = (fc["weight"] ** 2).sum(0).reshape(3, 9).sum(1)
    expected = sum(energy / energy.mean() for energy in (rows, scales, columns)) / 3
    assert scores.numpy() == pytest.approx(expected**0.5)


def test_importance_by_activation_is_what_readers_read() -> None:
    network = nn.Sequential(nn.Conv2d(2, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(27, 4), nn.Tanh(), nn.Linear(4, 1))
    frames = torch.randn(300, 2, 4, 4)
    scores = importance(network, groups(network, frames[:1]), "activation", frames)
    maps = network[:2](frames).double().abs().mean((0, 2, 3))
    units = network[:5](frames).double().abs().mean(0)
    expected = torch.cat([maps / maps.mean(), units / units.mean()]).detach()
    torch.testing.assert_close(scores, expected, rtol=1e-5, atol=0)


def test_the_least_important_go_by_weights_or_by_frames() -> None:
    network = nn.Sequential(nn.Linear(2, 4, bias=False), nn.ReLU(), nn.Linear(4, 1, bias=False))
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([[3.0, 0], [0, 4], [1, 0], [0, 2]]))
        network[2].weight.copy_(torch.tensor([[3.0, 4, 1, 2]]))
    by_frames, frames = copy.deepcopy(network), torch.tensor([[1.0, 0.1]])
    prune_channels(network, torch.zeros(1, 2), 0.5)
    assert network[2].weight.tolist() == [[3, 4]]
    prune_channels(by_frames, torch.zeros(1, 2), 0.5, frames)  # activations 3, 0.4, 1, 0.2
    assert by_frames[2].weight.tolist() == [[3, 1]]


@torch.no_grad()
def test_dead_units_are_found_and_cost_nothing() -> None:
    network = Headed("impala")
    backbone, frames = network.backbone, examples("impala", 200)
    assert isinstance(backbone, Convolutional) and backbone.fc is not None
    hidden = backbone.conv[2].conv1
    hidden.bias[[1, 5]] = -1e6
    backbone.fc.bias[[0, 7, 8]] = -1e6
    alive = (backbone(frames) > 0).any(0)
    known = groups(network, frames[:1])
    dead = dead_units(network, frames)
    found = {(part.layer, part.index) for group in dead for part in group.outputs}
    expected = {("backbone.fc", (i,)) for i in range(256) if not alive[i]}
    assert {part for part in found if part[0] == "backbone.fc"} == expected and len(expected) >= 3
    assert {("backbone.conv.2.conv1", (i,)) for i in (1, 5)} <= found
    before, size = network(frames), len(known)
    remove(network, dead)
    torch.testing.assert_close(network(frames), before, rtol=1e-5, atol=1e-6)
    assert len(groups(network, frames[:1])) == size - len(dead) and dead_units(network, frames) == []


@torch.no_grad()
def test_a_unit_that_lives_in_one_frame_of_many_is_not_dead() -> None:
    network = nn.Sequential(nn.Linear(1, 3), nn.ReLU(), nn.Linear(3, 1))
    network[0].weight.copy_(torch.tensor([[1.0], [1.0], [-1.0]]))
    network[0].bias.copy_(torch.tensor([0.0, -0.5, -9.0]))
    frames = torch.zeros(400, 1)
    assert [group.outputs[0].index for group in dead_units(network, frames)] == [(0,), (1,)]  # one must stay
    frames[399] = 0.75
    assert [group.outputs[0].index for group in dead_units(network, frames)] == [(2,)]
    assert [group.outputs[0].index for group in dead_units(network, frames[:1])] == [(0,), (1,)]


def test_a_coupled_channel_is_dead_only_where_nobody_reads_anything() -> None:
    """The stream of a residual network: a ReLU hides it from one layer and not from another."""
    network = Headed("impala", seed=3)
    stream = network.backbone.conv[0]  # type: ignore
    with torch.no_grad():
        for module in (stream, *(block.conv2 for block in network.backbone.conv[2:4])):  # type: ignore
            module.weight[4], module.bias[4] = 0.0, 0.0
        stream.bias[4] = -1.0
    frames = examples("impala")
    read = {part.layer: part.index for group in dead_units(network, frames) for part in group.outputs}
    assert "backbone.conv.0" not in read  # the next stage's convolution reads -1
    with torch.no_grad():
        stream.bias[4] = 0.0
    assert ("backbone.conv.0", (4,)) in {(p.layer, p.index) for g in dead_units(network, frames) for p in g.outputs}


def test_plans_of_two_removals_join() -> None:
    network, x = Headed("mlp_tanh"), examples("mlp_tanh")
    plan = prune_channels(network, x, 0.5) | prune_channels(network, x, 0.5)
    fresh = Headed("mlp_tanh")
    apply_plan(fresh, plan)
    fresh.load_state_dict(network.state_dict())
    assert fresh.backbone.out_features == 16 and torch.equal(fresh(x), network(x))


def test_types_and_frozen_weights_stay_so() -> None:
    network = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)).to(torch.bfloat16)
    network[0].requires_grad_(False)
    prune_channels(network, torch.zeros(1, 3, dtype=torch.bfloat16), 0.5)
    assert {parameter.dtype for parameter in network.parameters()} == {torch.bfloat16}
    assert [parameter.requires_grad for parameter in network.parameters()] == [False, False, True, True]


def test_wrong_settings_say_what_to_do() -> None:
    network, x = Headed("tiny"), examples("tiny")
    found = groups(network, x)
    for share in (-0.1, 1.1, math.nan):
        with pytest.raises(ConfigError, match="between 0 and 1"):
            prune_channels(network, x, share)
    with pytest.raises(ConfigError, match="'magnitude' or 'activation'"):
        importance(network, found, "taylor")  # type: ignore[arg-type]
    for frames in (None, x[:0]):
        with pytest.raises(ConfigError, match="needs frames"):
            importance(network, found, "activation", frames)
    with pytest.raises(ConfigError, match="at least one"):
        dead_units(network, x[:0])


def test_a_removal_that_cannot_be_changes_nothing() -> None:
    network, x = Headed("tiny"), examples("tiny")
    found, state = groups(network, x), copy.deepcopy(network.state_dict())
    with pytest.raises(ConfigError, match=r"nothing of layer 'backbone.conv.0' would stay"):
        remove(network, found)
    with pytest.raises(ConfigError, match="anew"):
        remove(Headed("small"), found)
    assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())
    remove(network, found[:1])
    with pytest.raises(ConfigError, match="anew"):
        remove(network, found[1:2])


@pytest.mark.parametrize(
    "plan",
    [
        *({"nowhere.out_features": 3}, {"backbone.fc.width": 3}, {"head": 3}, {"head.in_features": 0}),
        *({"head.in_features": 10**6}, {"head.in_features": 2.0}, {"head.in_features": True}),
        {"backbone.conv.0.1.num_channels": 3},  # not whole groups
        {"backbone.conv.1.0.branch.3.in_channels": 4},  # of a convolution in branches
    ],
)
def test_a_plan_of_another_network_is_refused(plan: Any) -> None:
    network = Headed("resnext", norm="group")
    before = parameters(network)
    with pytest.raises(ConfigError, match="of another network"):
        apply_plan(network, {"head.in_features": 8} | plan)
    assert parameters(network) == before
