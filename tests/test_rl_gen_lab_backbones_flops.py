"""Costs of a network, counted by hand, and frames that are too small."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from rl_gen_lab.backbones import CONFIGURABLE
from rl_gen_lab.backbones.config import BackboneConfig
from rl_gen_lab.backbones.convolutional import Convolutional
from rl_gen_lab.backbones.flops import count
from rl_gen_lab.backbones.maps import build_configured
from rl_gen_lab.cli.errors import ConfigError

SHAPE = (3, 45, 40)


SMALL = BackboneConfig(width=8, depth=2)


def built(name: str, choices: BackboneConfig = SMALL, shape: tuple[int, ...] = SHAPE) -> Convolutional:
    backbone = build_configured(name, shape, choices if name in CONFIGURABLE else None)
    assert isinstance(backbone, Convolutional)
    return backbone


def test_counts_are_those_of_paper_and_pencil() -> None:
    nature = built("nature", shape=(4, 84, 84)).counts()
    assert nature.parameters == 1_684_128
    assert nature.multiply_adds == 400 * 32 * 256 + 81 * 64 * 512 + 49 * 64 * 576 + 3136 * 512
    assert nature.activations == 400 * 32 + 81 * 64 + 49 * 64 + 512
    up = count(nn.ConvTranspose2d(3, 5, 2, 2), (3, 4, 6), torch.float32)
    assert (up.multiply_adds, up.activations) == (4 * 6 * 3 * 5 * 4, 5 * 8 * 12)
    grouped = count(nn.Conv2d(8, 8, 3, padding=1, groups=4), (8, 5, 5), torch.float32)
    assert grouped.multiply_adds == 25 * 8 * 2 * 9


def test_an_impossible_shape_is_refused_with_the_arithmetic() -> None:
    with pytest.raises(ConfigError, match=r"height 2, and .* = \(2 \+ 0 - 3\) / 1 \+ 1 = 0 must be at least 1"):
        build_configured("nature", (4, 30, 84))
    with pytest.raises(ConfigError, match=r"sees width 7, .* \(7 \+ 0 - 8\) / 4 \+ 1 = 0"):
        build_configured("nature", (4, 84, 7))
