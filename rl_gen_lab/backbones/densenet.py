"""Densely connected network: each layer reads all earlier layers of its stage."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rl_gen_lab.backbones.blocks import activation, convolution, halving, normalization, stem
from rl_gen_lab.backbones.config import BackboneConfig
from rl_gen_lab.backbones.convolutional import Convolutional, Shape


class DenseLayer(nn.Module):
    """Append `growth` channels, from a 1x1 and a 3x3 convolution, to the input.

    Source: Huang et al. 2017, "Densely Connected Convolutional Networks", section 3, "bottleneck layers".
    """

    def __init__(self, config: BackboneConfig, channels: int, growth: int) -> None:
        super().__init__()
        inner = 4 * growth
        self.layers = nn.Sequential(
            normalization(config, channels),
            activation(config),
            convolution(config, channels, inner, 1),
            normalization(config, inner),
            activation(config),
            convolution(config, inner, growth, 3),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C + growth, H, W)."""
        return torch.cat((x, self.layers(x)), 1)


class DenseNet(Convolutional):
    """Stages of dense layers; between them a 1x1 convolution halves the channels, pooling the size (DenseNet-BC)."""

    def __init__(self, shape: Shape, config: BackboneConfig = BackboneConfig()) -> None:
        growth = config.width // 2
        channels = 2 * growth
        stages: list[nn.Module] = [stem(config, shape, channels)]
        strides = {}
        for stage in range(config.stages):
            layers: list[nn.Module] = []
            if stage:
                layers += [normalization(config, channels), activation(config)]
                layers += [convolution(config, channels, channels // 2, 1), halving(config, channels // 2, "average")]
                channels //= 2
            for _ in range(config.depth):
                layers.append(DenseLayer(config, channels, growth))
                channels += growth
            if stage == config.stages - 1:
                layers += [normalization(config, channels), activation(config)]
            stages.append(nn.Sequential(*layers))
            strides[stage + 1] = config.first_stride * 2**stage
        features = config.features if config.head == "linear" else None
        super().__init__(shape, nn.Sequential(*stages), features, strides)
