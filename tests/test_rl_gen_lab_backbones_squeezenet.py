"""SqueezeNet: the weights of the paper."""

from __future__ import annotations

from torch import nn

from rl_gen_lab.backbones.config import BackboneConfig
from rl_gen_lab.backbones.squeezenet import Fire


def weights(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_fire_modules_have_the_papers_weights() -> None:
    """Iandola et al. 2016, table 1: fire2 has 11,920 weights, fire9 197,184 (biases counted)."""
    plain = BackboneConfig(norm="none")
    assert weights(Fire(plain, 96, 16, 64)) == 11_920
    assert weights(Fire(plain, 512, 64, 256)) == 197_184
