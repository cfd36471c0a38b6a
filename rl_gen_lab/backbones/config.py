"""Settings of the configurable backbones; nature, impala, small and mlp are fixed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Interval

from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.cli.settings import Count, Ranged, ShareBelowOne, Size

# More stages and blocks would take hours to construct.
Stages = Annotated[int, Interval(ge=1, le=32)]
Depth = Annotated[int, Interval(ge=1, le=200)]


@dataclass(frozen=True)
class BackboneConfig(Ranged):
    """Size, layers and regularization of a backbone."""

    # Channels of the first stage (densenet: twice the channels that a layer adds).
    width: Count = 16
    # Stages; each but the first halves height and width.
    stages: Stages = 3
    # Blocks in a stage (fractalnet: columns, so 2 ** (depth - 1) convolutions on the longest path).
    depth: Depth = 2
    # Stride of the first convolution.
    first_stride: Annotated[int, Interval(ge=1, le=32)] = 2
    # Nonlinearity after each convolution.
    activation: Literal["relu", "leaky_relu", "elu", "tanh", "sigmoid"] = "relu"
    # Normalization. The papers use batch; with group an agent sees the same features for one frame as for a batch.
    norm: Literal["batch", "group", "none"] = "group"
    # Halving of height and width; paper: strided convolutions in a resnet, pooling in the others.
    downsample: Literal["paper", "stride", "max", "average"] = "paper"
    # Features for agents: the average over all positions, or a fully connected layer of `features` units.
    head: Literal["average", "linear"] = "average"
    # Units of a linear head.
    features: Count = 256
    # Branches of a resnext's 3x3 convolutions.
    branches: Size = 4
    # Probability that a unit after an activation is zero in training.
    dropout: ShareBelowOne = 0.0
    # Probability that a weight of a convolution is zero in training.
    drop_connect: ShareBelowOne = 0.0
    # Probability that a resnet's last block is skipped (earlier ones less), or a fractalnet's path is cut, in training.
    drop_path: ShareBelowOne = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.width % 4 or self.width % self.branches:
            raise ConfigError(f"width {self.width} cannot be divided by 4 and by the {self.branches} branches")
