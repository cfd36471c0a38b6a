"""Densely connected network: every layer reads all layers before it in its stage."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rl_gen_lab.backbones.blocks import activation, convolution, halving, normalisation, stem
from rl_gen_lab.backbones.config import Choices
from rl_gen_lab.backbones.convolutional import Convolutional, Shape


class DenseLayer(nn.Module):
    """Its input with `growth` new channels behind it, from a 1x1 and a 3x3 convolution.

    Source: Huang et al. 2017, "Densely Connected Convolutional Networks", section 3, "bottleneck layers".
    """

    def __init__(self, choices: Choices, channels: int, growth: int) -> None:
        super().__init__()
        inner = 4 * growth
        self.layers = nn.Sequential(
            normalisation(choices, channels),
            activation(choices),
            convolution(choices, channels, inner, 1),
            normalisation(choices, inner),
            activation(choices),
            convolution(choices, inner, growth, 3),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C + growth, H, W)."""
        return torch.cat((x, self.layers(x)), 1)


class DenseNet(Convolutional):
    """Stages of dense layers; between two, a 1x1 convolution to half the channels and pooling by two (DenseNet-BC)."""

    def __init__(self, shape: Shape, choices: Choices) -> None:
        growth = choices.width // 2
        channels = 2 * growth
        stages: list[nn.Module] = [stem(choices, shape, channels)]
        strides = {}
        for stage in range(choices.stages):
            layers: list[nn.Module] = []
            if stage:
                layers += [normalisation(choices, channels), activation(choices)]
                layers += [convolution(choices, channels, channels // 2, 1), halving(choices, channels // 2, "average")]
                channels //= 2
            for _ in range(choices.depth):
                layers.append(DenseLayer(choices, channels, growth))
                channels += growth
            if stage == choices.stages - 1:
                layers += [normalisation(choices, channels), activation(choices)]
            stages.append(nn.Sequential(*layers))
            strides[stage + 1] = choices.first_stride * 2**stage
        features = choices.features if choices.head == "linear" else None
        super().__init__(shape, nn.Sequential(*stages), features, strides)
