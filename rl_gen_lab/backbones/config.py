"""Settings of the configurable backbones; nature, impala, small and mlp are fixed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rl_gen_lab.cli.errors import ConfigError

MAX_STAGES, MAX_DEPTH = 32, 200  # more would take hours to construct


@dataclass(frozen=True)
class BackboneConfig:
    """Size, layers and regularization of a backbone."""

    # Channels of the first stage (densenet: twice the channels that a layer adds).
    width: int = 16
    # Stages; each but the first halves height and width.
    stages: int = 3
    # Blocks in a stage (fractalnet: columns, so 2 ** (depth - 1) convolutions on the longest path).
    depth: int = 2
    # Stride of the first convolution.
    first_stride: int = 2
    # Nonlinearity after each convolution.
    activation: Literal["relu", "leaky_relu", "elu", "tanh", "sigmoid"] = "relu"
    # Normalization. The papers use batch; with group an agent sees the same features for one frame as for a batch.
    norm: Literal["batch", "group", "none"] = "group"
    # Halving of height and width; paper: strided convolutions in a resnet, pooling in the others.
    downsample: Literal["paper", "stride", "max", "average"] = "paper"
    # Features for agents: the average over all positions, or a fully connected layer of `features` units.
    head: Literal["average", "linear"] = "average"
    # Units of a linear head.
    features: int = 256
    # Branches of a resnext's 3x3 convolutions.
    branches: int = 4
    # Probability that a unit after an activation is zero in training.
    dropout: float = 0.0
    # Probability that a weight of a convolution is zero in training.
    drop_connect: float = 0.0
    # Probability that a resnet's last block is skipped (earlier ones less), or a fractalnet's path is cut, in training.
    drop_path: float = 0.0

    def __post_init__(self) -> None:
        for name in ("width", "stages", "depth", "first_stride", "features", "branches"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} of a backbone must be at least 1, not {getattr(self, name)}")
        for name, most in (("stages", MAX_STAGES), ("depth", MAX_DEPTH)):
            if getattr(self, name) > most:
                raise ConfigError(f"{name} of a backbone must be at most {most:,}, not {getattr(self, name):,}")
        for name in ("dropout", "drop_connect", "drop_path"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise ConfigError(f"{name} is a probability below 1, not {getattr(self, name)}")
        if self.width % 4 or self.width % self.branches:
            raise ConfigError(f"width {self.width} cannot be divided by 4 and by the {self.branches} branches")
