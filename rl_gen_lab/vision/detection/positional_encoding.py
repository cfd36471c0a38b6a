"""Positional encoding of feature maps: sines and cosines of the coordinates."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from rl_gen_lab.backbones.convolutional import FeatureMap


class PositionalEncoding(nn.Module):
    """Append 4 channels an octave to a map: sine and cosine of x and y, wavelengths of 2, 4, 8, ... positions.

    Convolutions do not see positions. In a row of bricks without gaps the surroundings do not show where a brick ends;
    its position does. Source: Liu et al. 2018, "An Intriguing Failing of Convolutional Neural Networks and the
    CoordConv Solution"; the waves: Vaswani et al. 2017, "Attention Is All You Need", section 3.5, here by octaves.
    """

    waves: Tensor

    def __init__(self, feature_map: FeatureMap, octaves: int) -> None:
        """octaves: 0 leaves the map as it is."""
        super().__init__()
        lengths = 2.0 ** torch.arange(1, octaves + 1)
        y, x = (
            2 * math.pi * (torch.arange(size) + 0.5) / lengths[:, None]
            for size in (feature_map.height, feature_map.width)
        )  # (octaves, H) and (octaves, W)
        x, y = x[:, None].expand(-1, feature_map.height, -1), y[..., None].expand(-1, -1, feature_map.width)
        self.register_buffer("waves", torch.cat((x.sin(), x.cos(), y.sin(), y.cos())), persistent=False)
        self.channels = 4 * octaves

    def forward(self, features: Tensor) -> Tensor:
        """features: (B, C, H, W) -> (B, C + channels, H, W)."""
        if not self.channels:
            return features
        waves = self.waves.to(features.dtype).expand(len(features), -1, -1, -1)
        return torch.cat((features, waves), 1)
