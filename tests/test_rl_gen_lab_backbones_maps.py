"""Backbones of any size: maps as declared, every weight learned, choices that cannot be."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from gymnasium.spaces import Discrete
from torch import Tensor, nn

from agents.rl.policy_networks import ActorCritic
from agents.rl.q_networks import QNetwork
from agents.training.config import PolicyConfig
from rl_gen_lab.backbones import BACKBONES, CONFIGURABLE
from rl_gen_lab.backbones.config import BackboneConfig
from rl_gen_lab.backbones.convolutional import Convolutional
from rl_gen_lab.backbones.maps import build_configured, build_for, build_maps
from rl_gen_lab.cli.errors import ConfigError

SHAPE = (3, 45, 40)


PIXELS = [name for name in BACKBONES if not name.startswith("mlp")]


SMALL = BackboneConfig(width=8, depth=2)


def frames(*shape: int, seed: int = 0) -> Tensor:
    return torch.randint(256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def weights(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@dataclass(frozen=True)
class Settings:
    """Settings of a vision model whose defaults are not the backbones'."""

    backbone: str = "resnet"
    choices: BackboneConfig = SMALL


def built(name: str, choices: BackboneConfig = SMALL, shape: tuple[int, ...] = SHAPE) -> Convolutional:
    backbone = build_configured(name, shape, choices if name in CONFIGURABLE else None)
    assert isinstance(backbone, Convolutional)
    return backbone


@pytest.mark.parametrize("name", PIXELS)
def test_maps_are_as_declared_and_features_as_many_as_said(name: str) -> None:
    backbone = built(name)
    x = frames(2, *SHAPE)
    maps = backbone.maps(x)
    assert [(2, m.channels, m.height, m.width) for m in backbone.feature_maps] == [tuple(m.shape) for m in maps]
    assert backbone(x).shape == (2, backbone.out_features)
    assert backbone.counts().parameters == weights(backbone)
    headless = build_for(Settings(name), SHAPE)
    assert headless(x).shape == (2, headless.feature_maps[-1].channels)


@pytest.mark.parametrize("name", PIXELS)
def test_a_shift_by_the_stride_shifts_the_map_by_one(name: str) -> None:
    backbone = built(name, BackboneConfig(width=8, depth=1, norm="none"), (1, 240, 240)).eval()
    x = frames(1, 1, 240, 240)
    for index, (feature_map, here) in enumerate(zip(backbone.feature_maps, backbone.maps(x), strict=True)):
        s = feature_map.stride
        there = backbone.maps(x.roll((s, s), (2, 3)))[index]
        edge = feature_map.height // 2 - 2  # the middle, which the frame's edges do not reach
        inner = here[:, :, edge:-edge, edge:-edge]
        moved = there[:, :, edge + 1 :, edge + 1 :][:, :, : inner.shape[2], : inner.shape[3]]
        assert inner.std() > 0
        torch.testing.assert_close(moved, inner, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", CONFIGURABLE)
@pytest.mark.parametrize("norm", ["batch", "group", "none"])
def test_every_weight_gets_a_gradient(name: str, norm: str) -> None:
    torch.manual_seed(0)
    backbone = built(name, BackboneConfig(width=8, norm=norm, activation="elu", drop_connect=0.1, dropout=0.1))
    backbone(frames(4, *SHAPE)).square().sum().backward()
    for weight, parameter in backbone.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), weight
        assert parameter.grad.abs().max() > 0, weight


@pytest.mark.parametrize("name", CONFIGURABLE)
def test_construction_leaves_no_trace_in_running_statistics(name: str) -> None:
    backbone = built(name, BackboneConfig(width=8, norm="batch"))
    assert backbone.training
    for module in backbone.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.num_batches_tracked == 0


@pytest.mark.parametrize("name", CONFIGURABLE)
@pytest.mark.parametrize("downsample", ["stride", "max", "average"])
def test_sizes_are_halved_however_it_is_done(name: str, downsample: str) -> None:
    backbone = built(name, BackboneConfig(width=8, depth=1, downsample=downsample, head="linear"))  # type: ignore[arg-type]
    assert [(m.height, m.width) for m in backbone.feature_maps] == [(23, 20), (12, 10), (6, 5)]
    assert backbone(frames(1, *SHAPE)).shape == (1, 256)


def test_a_fixed_backbone_ignores_the_defaults_of_a_model_but_not_what_a_user_chose() -> None:
    assert weights(build_for(Settings("nature"), (3, 84, 84))) == weights(build_maps("nature", (3, 84, 84)))
    with pytest.raises(ConfigError, match="'nature' is fixed by its paper"):
        build_for(Settings("nature", BackboneConfig(width=12)), (3, 84, 84))


def test_a_backbone_written_layer_by_layer_gives_its_maps() -> None:
    backbone = build_for(Settings("4x8s4-8x4s2-p-32"), (3, 84, 84))
    assert [(m.channels, m.stride, m.height) for m in backbone.feature_maps] == [(4, 4, 20), (8, 8, 9)]
    assert [tuple(m.shape[1:]) for m in backbone.maps(frames(1, 3, 84, 84))] == [(4, 20, 20), (8, 9, 9)]
    with pytest.raises(ConfigError, match="'4x8s4-32' is fixed by its paper or its text"):
        build_for(Settings("4x8s4-32", BackboneConfig(width=12)), (3, 84, 84))


def test_choices_that_cannot_be_are_refused() -> None:
    with pytest.raises(ConfigError, match="drop_path"):
        BackboneConfig(drop_path=1.0)
    with pytest.raises(ConfigError, match="branches"):
        BackboneConfig(width=20, branches=8)
    with pytest.raises(ConfigError, match="fixed by its paper"):
        build_configured("nature", (4, 84, 84), BackboneConfig(width=8))
    with pytest.raises(ConfigError, match="no paths to drop: drop_path is for resnet, resnet_bottleneck, resnext, fr"):
        build_configured("densenet", (4, 84, 84), BackboneConfig(drop_path=0.5))
    with pytest.raises(ConfigError, match="gives no feature maps"):
        build_maps("mlp", (4,))


@pytest.mark.parametrize("name", CONFIGURABLE)
def test_agents_can_play_with_them_and_see_one_frame_as_in_a_batch(name: str) -> None:
    ActorCritic((4, 42, 42), Discrete(3), PolicyConfig(backbone=name), "shared")
    network = QNetwork(name, (4, 42, 42), num_actions=3, dueling=True)
    network.standardize(frames(8, 1, 42, 42))
    x = frames(4, 4, 42, 42)
    torch.testing.assert_close(network(x)[:1], network(x[:1]), rtol=1e-3, atol=1e-4)
