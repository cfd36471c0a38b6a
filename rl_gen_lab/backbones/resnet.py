"""Residual networks: basic and bottleneck blocks, parallel branches, stochastic depth."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from rl_gen_lab.backbones.blocks import DropPath, activation, convolution, halving, normalization, stem
from rl_gen_lab.backbones.config import BackboneConfig
from rl_gen_lab.backbones.convolutional import Convolutional, Shape

EXPANSION = 4  # channels of a bottleneck block for each channel of its 3x3 convolution


class Block(nn.Module):
    """A residual block: activation(shortcut(x) + branch(x)), with the identity as shortcut where the shape stays.

    Source: He et al. 2016, "Deep Residual Learning", figures 2 and 5, shortcuts of type B; Xie et al. 2017, "Aggregated
    Residual Transformations", figure 3c, for a bottleneck of several branches.
    """

    def __init__(
        self,
        config: BackboneConfig,
        channels: int,
        width: int,
        stride: int,
        block: str,
        branches: int,
        drop_path: float,
    ) -> None:
        super().__init__()
        out = width if block == "basic" else EXPANSION * width
        layers = (
            [(channels, width, 3, stride, 1), (width, out, 3, 1, 1)]
            if block == "basic"
            else [(channels, width, 1, 1, 1), (width, width, 3, stride, branches), (width, out, 1, 1, 1)]
        )
        branch: list[nn.Module] = []
        for layer in layers:
            branch += [convolution(config, *layer), normalization(config, layer[1]), activation(config)]
        self.branch = nn.Sequential(*branch[:-1])
        self.shortcut: nn.Module = nn.Identity()
        if channels != out or stride > 1:
            self.shortcut = nn.Sequential(convolution(config, channels, out, 1, stride), normalization(config, out))
        self.drop_path = DropPath(drop_path)
        self.activation = activation(config)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', H', W')."""
        out: Tensor = self.activation(self.shortcut(x) + self.drop_path(self.branch(x)))
        return out


class ResNet(Convolutional):
    """A 3x3 convolution, then stages of residual blocks; widths double as sizes halve; each stage ends with a map.

    With `config.drop_path` = p the l-th of L blocks is skipped in training with probability p l / L.
    Source: He et al. 2016, section 4.2 (the network for small images); Huang et al. 2016, "Stochastic Depth", eq. 4.
    """

    def __init__(
        self,
        shape: Shape,
        config: BackboneConfig = BackboneConfig(),
        block: Literal["basic", "bottleneck"] = "basic",
        branches: int = 1,
        inner: int = 1,
    ) -> None:
        """inner: channels of a bottleneck's 3x3 convolutions, as a multiple of the basic block's divided by 4."""
        stages: list[nn.Module] = [stem(config, shape, config.width)]
        channels, width = config.width, config.width if block == "basic" else inner * config.width // EXPANSION
        total = config.stages * config.depth
        strides = {}
        pooled = config.downsample in ("max", "average")
        for stage in range(config.stages):
            blocks: list[nn.Module] = [halving(config, channels, "stride")] if pooled and stage else []
            for index in range(config.depth):
                stride = 2 if stage and index == 0 and not pooled else 1
                drop_path = config.drop_path * (stage * config.depth + index + 1) / total
                blocks.append(Block(config, channels, width, stride, block, branches, drop_path))
                channels = width if block == "basic" else EXPANSION * width
            stages.append(nn.Sequential(*blocks))
            strides[len(stages) - 1] = config.first_stride * 2**stage
            width *= 2
        features = config.features if config.head == "linear" else None
        super().__init__(shape, nn.Sequential(*stages), features, strides)


def bottleneck(shape: Shape, config: BackboneConfig = BackboneConfig()) -> ResNet:
    """A resnet of bottleneck blocks: 1x1, 3x3 and 1x1 convolutions, with the outputs of the basic network."""
    return ResNet(shape, config, "bottleneck")


def resnext(shape: Shape, config: BackboneConfig = BackboneConfig()) -> ResNet:
    """A resnet of bottlenecks whose 3x3 convolutions are twice as wide, in independent branches."""
    return ResNet(shape, config, "bottleneck", config.branches, inner=2)
