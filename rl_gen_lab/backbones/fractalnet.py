"""Fractal network: parallel short and long paths, no residual connections; paths are dropped in training."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from rl_gen_lab.backbones.blocks import halving, stem, unit
from rl_gen_lab.backbones.config import BackboneConfig
from rl_gen_lab.backbones.convolutional import Convolutional, Shape
from rl_gen_lab.cli.errors import ConfigError

MAX_COLUMNS = 10  # 512 convolutions in sequence


class Fractal(nn.Module):
    """A block of `depth` columns; column c has 2 ** c convolutions, and columns are averaged where they join.

    Drop-path: half of the batches are local (each input of a join is dropped with probability `drop_path`, at least one
    stays), half global (a single column). Source: Larsson et al. 2017, "FractalNet", figures 1 and 2. Deviation:
    the global column is drawn for each block, the paper draws one for the network.
    """

    def __init__(self, config: BackboneConfig, channels: int, out: int) -> None:
        super().__init__()
        self.drop_path = config.drop_path
        self.columns = nn.ModuleList(
            nn.ModuleList(unit(config, channels if row == 0 else out, out, 3) for row in range(2**column))
            for column in range(config.depth)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', H, W)."""
        if self.training and self.drop_path > 0 and torch.rand(()) < 0.5:
            column = int(torch.randint(len(self.columns), ()))
            for layer in cast(nn.ModuleList, self.columns[column]):
                x = layer(x)
            return x
        state = [x] * len(self.columns)
        for row in range(1, 2 ** (len(self.columns) - 1) + 1):
            joining = []
            for index, layers in enumerate(self.columns):
                span = 2 ** (len(self.columns) - 1 - index)  # rows of a convolution of this column
                if row % span == 0:
                    layer = cast(nn.ModuleList, layers)[row // span - 1]
                    state[index] = layer(state[index])
                    joining.append(index)
            joined = self._join([state[index] for index in joining])
            for index in joining:
                state[index] = joined
        return state[0]

    def _join(self, inputs: list[Tensor]) -> Tensor:
        if self.training and self.drop_path > 0:
            kept = torch.rand(len(inputs)) >= self.drop_path
            kept[torch.randint(len(inputs), ())] |= not bool(kept.any())
            inputs = [x for x, keep in zip(inputs, kept.tolist(), strict=True) if keep]
        return torch.stack(inputs).mean(0) if len(inputs) > 1 else inputs[0]


class FractalNet(Convolutional):
    """Fractal blocks with pooling between them; widths double as sizes halve."""

    def __init__(self, shape: Shape, config: BackboneConfig = BackboneConfig()) -> None:
        if config.depth > MAX_COLUMNS:
            convolutions = 2 ** (config.depth - 1)
            raise ConfigError(
                f"a fractalnet of depth {config.depth} has {convolutions:,} convolutions one after the other in every"
                f" stage; depth must be at most {MAX_COLUMNS}"
            )
        channels = config.width
        stages: list[nn.Module] = [stem(config, shape, channels)]
        strides = {}
        for stage in range(config.stages):
            out = config.width * 2**stage
            pool: list[nn.Module] = [halving(config, channels, "max")] if stage else []
            stages.append(nn.Sequential(*pool, Fractal(config, channels, out)))
            strides[stage + 1] = config.first_stride * 2**stage
            channels = out
        features = config.features if config.head == "linear" else None
        super().__init__(shape, nn.Sequential(*stages), features, strides)
