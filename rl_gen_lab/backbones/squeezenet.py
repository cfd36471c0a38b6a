"""SqueezeNet: few weights, because most filters are 1x1 and the 3x3 ones read few channels."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rl_gen_lab.backbones.blocks import halving, stem, unit
from rl_gen_lab.backbones.config import BackboneConfig
from rl_gen_lab.backbones.convolutional import Convolutional, Shape


class Fire(nn.Module):
    """Squeeze to `squeeze` channels by 1x1 filters, then expand by 1x1 and 3x3 filters, `expand` of each.

    Source: Iandola et al. 2016, "SqueezeNet", figure 1.
    """

    def __init__(self, config: BackboneConfig, channels: int, squeeze: int, expand: int) -> None:
        super().__init__()
        self.squeeze = unit(config, channels, squeeze, 1)
        self.expand1 = unit(config, squeeze, expand, 1)
        self.expand3 = unit(config, squeeze, expand, 3)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, 2 expand, H, W)."""
        x = self.squeeze(x)
        return torch.cat((self.expand1(x), self.expand3(x)), 1)


class SqueezeNet(Convolutional):
    """Stages of fire modules with pooling between them; squeezed to an eighth of a stage's outputs, as in the paper."""

    def __init__(self, shape: Shape, config: BackboneConfig = BackboneConfig()) -> None:
        channels = config.width
        stages: list[nn.Module] = [stem(config, shape, channels)]
        strides = {}
        for stage in range(config.stages):
            out = config.width * 2**stage
            layers: list[nn.Module] = [halving(config, channels, "max")] if stage else []
            for _ in range(config.depth):
                layers.append(Fire(config, channels, max(out // 8, 1), out // 2))
                channels = out
            stages.append(nn.Sequential(*layers))
            strides[stage + 1] = config.first_stride * 2**stage
        features = config.features if config.head == "linear" else None
        super().__init__(shape, nn.Sequential(*stages), features, strides)
