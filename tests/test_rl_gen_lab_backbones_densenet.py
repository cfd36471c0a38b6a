"""DenseNet: the weights of the paper."""

from __future__ import annotations

from torch import nn

from rl_gen_lab.backbones import CONFIGURABLE
from rl_gen_lab.backbones.config import BackboneConfig
from rl_gen_lab.backbones.convolutional import Convolutional
from rl_gen_lab.backbones.maps import build_configured

SHAPE = (3, 45, 40)


SMALL = BackboneConfig(width=8, depth=2)


def weights(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def built(name: str, choices: BackboneConfig = SMALL, shape: tuple[int, ...] = SHAPE) -> Convolutional:
    backbone = build_configured(name, shape, choices if name in CONFIGURABLE else None)
    assert isinstance(backbone, Convolutional)
    return backbone


def test_a_densenet_has_the_papers_weights() -> None:
    """Huang et al. 2017, table 2: DenseNet-BC of 100 layers that add 12 channels each has 0.8 M."""
    densenet = built("densenet", BackboneConfig(width=24, depth=16, first_stride=1, norm="batch"), (3, 32, 32))
    assert abs(weights(densenet) + 342 * 10 + 10 - 0.77e6) < 0.005e6
    assert [m.channels for m in densenet.feature_maps] == [24 + 16 * 12, 108 + 16 * 12, 150 + 16 * 12]
