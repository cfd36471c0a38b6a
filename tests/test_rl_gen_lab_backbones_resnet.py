"""Residual networks: weights of the papers, shortcuts, stochastic depth."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from rl_gen_lab.backbones import CONFIGURABLE
from rl_gen_lab.backbones.blocks import DropPath
from rl_gen_lab.backbones.config import BackboneConfig
from rl_gen_lab.backbones.convolutional import Convolutional
from rl_gen_lab.backbones.maps import build_configured
from rl_gen_lab.backbones.resnet import Block

SHAPE = (3, 45, 40)


SMALL = BackboneConfig(width=8, depth=2)


def weights(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def built(name: str, choices: BackboneConfig = SMALL, shape: tuple[int, ...] = SHAPE) -> Convolutional:
    backbone = build_configured(name, shape, choices if name in CONFIGURABLE else None)
    assert isinstance(backbone, Convolutional)
    return backbone


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


def test_branches_and_bottlenecks_save_weights() -> None:
    basic, slim = built("resnet", BackboneConfig(width=64)), built("resnet_bottleneck", BackboneConfig(width=64))
    assert [m.channels for m in basic.feature_maps] == [m.channels for m in slim.feature_maps]
    assert weights(slim) < weights(basic) / 3
    one, four = (built("resnext", BackboneConfig(width=64, branches=branches)) for branches in (1, 4))
    grouped = [m for m in four.modules() if isinstance(m, nn.Conv2d) and m.groups == 4]
    assert len(grouped) == 6 and weights(one) - weights(four) == 3 * sum(m.weight.numel() for m in grouped)


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
