"""Residual, dense, fractal and squeezed backbones: sizes from the papers, maps as declared, things dropped."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
import torch
from gymnasium.spaces import Discrete
from torch import Tensor, nn
from torch.nn import functional as F

from agents.rl.policy_networks import ActorCritic
from agents.rl.q_networks import QNetwork
from agents.training.config import PolicyConfig
from rl_gen_lab.backbones import BACKBONES, CONFIGURABLE
from rl_gen_lab.backbones.blocks import ACTIVATIONS, DropConnectConv2d, DropPath
from rl_gen_lab.backbones.config import BackboneConfig
from rl_gen_lab.backbones.convolutional import Convolutional
from rl_gen_lab.backbones.flops import count
from rl_gen_lab.backbones.fractalnet import Fractal
from rl_gen_lab.backbones.maps import build_configured, build_for, build_maps
from rl_gen_lab.backbones.resnet import Block
from rl_gen_lab.backbones.squeezenet import Fire
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


# ---- sizes


def test_a_resnet_of_twenty_layers_has_the_papers_weights() -> None:
    """He et al. 2016, table 6: 0.27 M for three stages of 16, 32, 64 channels with three blocks each, on 32 x 32."""
    resnet = built("resnet", BackboneConfig(width=16, depth=3, first_stride=1, norm="batch"), (3, 32, 32))
    blocks = 6 * 9 * 16 * 16 + 9 * (16 * 32 + 5 * 32 * 32) + 9 * (32 * 64 + 5 * 64 * 64)
    stem, projections = 27 * 16 + 16, 16 * 32 + 32 * 64
    norms = 2 * (7 * 16 + 7 * 32 + 7 * 64)
    assert weights(resnet) == blocks + stem + projections + norms
    assert abs(weights(resnet) + 64 * 10 + 10 - 0.27e6) < 0.005e6
    # 41 M multiply-adds, as every later table of this network says
    assert resnet.counts().multiply_adds == pytest.approx(41e6, rel=0.02)


def test_fire_modules_have_the_papers_weights() -> None:
    """Iandola et al. 2016, table 1: fire2 has 11,920 weights, fire9 197,184 (biases counted)."""
    plain = BackboneConfig(norm="none")
    assert weights(Fire(plain, 96, 16, 64)) == 11_920
    assert weights(Fire(plain, 512, 64, 256)) == 197_184


def test_a_densenet_has_the_papers_weights() -> None:
    """Huang et al. 2017, table 2: DenseNet-BC of 100 layers that add 12 channels each has 0.8 M."""
    densenet = built("densenet", BackboneConfig(width=24, depth=16, first_stride=1, norm="batch"), (3, 32, 32))
    assert abs(weights(densenet) + 342 * 10 + 10 - 0.77e6) < 0.005e6
    assert [m.channels for m in densenet.feature_maps] == [24 + 16 * 12, 108 + 16 * 12, 150 + 16 * 12]


def test_counts_are_those_of_paper_and_pencil() -> None:
    nature = built("nature", shape=(4, 84, 84)).counts()
    assert nature.parameters == 1_684_128
    assert nature.multiply_adds == 400 * 32 * 256 + 81 * 64 * 512 + 49 * 64 * 576 + 3136 * 512
    assert nature.activations == 400 * 32 + 81 * 64 + 49 * 64 + 512
    up = count(nn.ConvTranspose2d(3, 5, 2, 2), (3, 4, 6), torch.float32)
    assert (up.multiply_adds, up.activations) == (4 * 6 * 3 * 5 * 4, 5 * 8 * 12)
    grouped = count(nn.Conv2d(8, 8, 3, padding=1, groups=4), (8, 5, 5), torch.float32)
    assert grouped.multiply_adds == 25 * 8 * 2 * 9


def test_branches_and_bottlenecks_save_weights() -> None:
    basic, slim = built("resnet", BackboneConfig(width=64)), built("resnet_bottleneck", BackboneConfig(width=64))
    assert [m.channels for m in basic.feature_maps] == [m.channels for m in slim.feature_maps]
    assert weights(slim) < weights(basic) / 3
    one, four = (built("resnext", BackboneConfig(width=64, branches=branches)) for branches in (1, 4))
    grouped = [m for m in four.modules() if isinstance(m, nn.Conv2d) and m.groups == 4]
    assert len(grouped) == 6 and weights(one) - weights(four) == 3 * sum(m.weight.numel() for m in grouped)


# ---- maps


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


def test_an_impossible_shape_is_refused_with_the_arithmetic() -> None:
    with pytest.raises(ConfigError, match=r"height 2, and .* = \(2 \+ 0 - 3\) / 1 \+ 1 = 0 must be at least 1"):
        build_configured("nature", (4, 30, 84))
    with pytest.raises(ConfigError, match=r"sees width 7, .* \(7 \+ 0 - 8\) / 4 \+ 1 = 0"):
        build_configured("nature", (4, 84, 7))


# ---- learning


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


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_are_those_asked_for(activation: str) -> None:
    backbone = built("resnet", BackboneConfig(width=8, activation=activation))  # type: ignore[arg-type]
    assert {type(m) for m in backbone.modules()} & set(ACTIVATIONS.values()) == {ACTIVATIONS[activation]}


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


# ---- things dropped


def test_identity_shortcuts_stand_wherever_the_shape_stays() -> None:
    blocks = [m for m in built("resnet", BackboneConfig(width=8, depth=3)).modules() if isinstance(m, Block)]
    identity = [isinstance(block.shortcut, nn.Identity) for block in blocks]
    assert identity == [True] * 3 + [False, True, True] * 2


def test_stochastic_depth_skips_late_blocks_more_often_and_none_in_use() -> None:
    backbone = built("resnet", BackboneConfig(width=8, depth=2, drop_path=0.6))
    rates = [m.rate for m in backbone.modules() if isinstance(m, DropPath)]
    assert rates == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    torch.manual_seed(0)
    drop = DropPath(0.25)
    out = drop(torch.ones(20_000, 1, 1, 1))
    assert out.unique().tolist() == pytest.approx([0, 4 / 3])
    assert out.mean().item() == pytest.approx(1.0, abs=4 * math.sqrt(1 / 3 / 20_000))
    assert torch.equal(drop.eval()(out), out)


def test_dropconnect_drops_weights_and_not_outputs() -> None:
    torch.manual_seed(0)
    conv = DropConnectConv2d(8, 4, 3, padding=1, bias=False)
    x = torch.rand(2, 8, 5, 5)
    conv.rate = 0.5
    whole = F.conv2d(x, conv.weight, padding=1)
    torch.testing.assert_close(conv.eval()(x), whole)
    conv.train()
    mean = torch.stack([conv(x) for _ in range(2_000)]).mean(0)
    torch.testing.assert_close(mean, whole, rtol=0, atol=0.1)
    one = conv(x[:1].expand(2, -1, -1, -1))
    torch.testing.assert_close(one[0], one[1])  # one mask for the whole batch
    assert not torch.allclose(conv(x), whole, atol=1e-3)


class PlusOne(nn.Module):
    """Stands in for a convolution: counts the convolutions on the way, averaged where paths meet."""

    def forward(self, x: Tensor) -> Tensor:
        return x + 1


def test_a_fractal_averages_columns_of_one_two_and_four_convolutions() -> None:
    fractal = Fractal(BackboneConfig(depth=3), 4, 4)
    assert [len(column) for column in fractal.columns] == [1, 2, 4]  # type: ignore[arg-type]
    for column in fractal.columns:
        for row in range(len(column)):  # type: ignore[arg-type]
            column[row] = PlusOne()  # type: ignore[operator, index]
    # Half way the columns of 2 and 4 meet: (1 + 2) / 2 = 1.5. At the end: (1 + 2.5 + 3.5) / 3.
    out = fractal(torch.zeros(1, 4, 1, 1))
    torch.testing.assert_close(out, torch.full_like(out, (1 + 2.5 + 3.5) / 3))


def test_drop_path_cuts_a_fractal_to_its_paths_and_never_to_nothing() -> None:
    torch.manual_seed(0)
    fractal = Fractal(BackboneConfig(depth=2, drop_path=0.9), 4, 4)
    for column in fractal.columns:
        for row in range(len(column)):  # type: ignore[arg-type]
            column[row] = PlusOne()  # type: ignore[operator, index]
    seen = {round(fractal(torch.zeros(1, 4, 1, 1)).max().item(), 3) for _ in range(200)}
    assert seen == {1.0, 1.5, 2.0}
    assert {fractal.eval()(torch.zeros(1, 4, 1, 1)).max().item() for _ in range(5)} == {1.5}
