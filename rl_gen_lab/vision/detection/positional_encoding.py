"""Where a position of a feature map lies in the picture, as sines and cosines beside its features."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from rl_gen_lab.backbones.convolutional import FeatureMap


class Positions(nn.Module):
    """Adds 4 channels an octave to a map: sine and cosine of x and y, wavelengths of 2, 4, 8, ... positions.

    Convolutions see the same everywhere. Where a brick ends inside a row of bricks without gaps, no picture around it
    tells; its place does. Source: Liu et al. 2018, "An Intriguing Failing of Convolutional Neural Networks and the
    CoordConv Solution"; the waves: Vaswani et al. 2017, "Attention Is All You Need", section 3.5, here by octaves.
    """

    waves: Tensor

    def __init__(self, found: FeatureMap, octaves: int) -> None:
        """octaves: 0 leaves the map as it is."""
        super().__init__()
        lengths = 2.0 ** torch.arange(1, octaves + 1)
        y, x = (
            2 * math.pi * (torch.arange(size) + 0.5) / lengths[:, None] for size in (found.height, found.width)
        )  # (octaves, H) and (octaves, W)
        wide, high = x[:, None].expand(-1, found.height, -1), y[..., None].expand(-1, -1, found.width)
        self.register_buffer("waves", torch.cat((wide.sin(), wide.cos(), high.sin(), high.cos())), persistent=False)
        self.channels = 4 * octaves

    def forward(self, features: Tensor) -> Tensor:
        """features: (B, C, H, W) -> (B, C + channels, H, W)."""
        if not self.channels:
            return features
        waves = self.waves.to(features.dtype).expand(len(features), -1, -1, -1)
        return torch.cat((features, waves), 1)
