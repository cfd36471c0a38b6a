"""Building blocks: activations and weights dropped in training."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from rl_gen_lab.backbones import CONFIGURABLE
from rl_gen_lab.backbones.blocks import ACTIVATIONS, DropConnectConv2d
from rl_gen_lab.backbones.config import BackboneConfig
from rl_gen_lab.backbones.convolutional import Convolutional
from rl_gen_lab.backbones.maps import build_configured

SHAPE = (3, 45, 40)


SMALL = BackboneConfig(width=8, depth=2)


def built(name: str, choices: BackboneConfig = SMALL, shape: tuple[int, ...] = SHAPE) -> Convolutional:
    backbone = build_configured(name, shape, choices if name in CONFIGURABLE else None)
    assert isinstance(backbone, Convolutional)
    return backbone


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_are_those_asked_for(activation: str) -> None:
    backbone = built("resnet", BackboneConfig(width=8, activation=activation))  # type: ignore[arg-type]
    assert {type(m) for m in backbone.modules()} & set(ACTIVATIONS.values()) == {ACTIVATIONS[activation]}


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
