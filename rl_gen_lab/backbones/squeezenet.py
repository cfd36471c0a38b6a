"""SqueezeNet: few weights, because most 3x3 filters become 1x1 and the others read few channels."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rl_gen_lab.backbones.blocks import halving, stem, unit
from rl_gen_lab.backbones.config import Choices
from rl_gen_lab.backbones.convolutional import Convolutional, Shape


class Fire(nn.Module):
    """Squeeze to `squeeze` channels by 1x1 filters, then expand by 1x1 and 3x3 filters, `expand` of each.

    Source: Iandola et al. 2016, "SqueezeNet", figure 1.
    """

    def __init__(self, choices: Choices, channels: int, squeeze: int, expand: int) -> None:
        super().__init__()
        self.squeeze = unit(choices, channels, squeeze, 1)
        self.expand1 = unit(choices, squeeze, expand, 1)
        self.expand3 = unit(choices, squeeze, expand, 3)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, 2 expand, H, W)."""
        x = self.squeeze(x)
        return torch.cat((self.expand1(x), self.expand3(x)), 1)


class SqueezeNet(Convolutional):
    """Stages of fire modules with pooling between them; squeezed to an eighth of a stage's outputs, as in the paper."""

    def __init__(self, shape: Shape, choices: Choices) -> None:
        channels = choices.width
        stages: list[nn.Module] = [stem(choices, shape, channels)]
        strides = {}
        for stage in range(choices.stages):
            out = choices.width * 2**stage
            layers: list[nn.Module] = [halving(choices, channels, "max")] if stage else []
            for _ in range(choices.depth):
                layers.append(Fire(choices, channels, max(out // 8, 1), out // 2))
                channels = out
            stages.append(nn.Sequential(*layers))
            strides[stage + 1] = choices.first_stride * 2**stage
        features = choices.features if choices.head == "linear" else None
        super().__init__(shape, nn.Sequential(*stages), features, strides)
