"""Building blocks of networks: convolution, normalization, activation, pooling, dropout of weights and paths."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rl_gen_lab.backbones.config import BackboneConfig
from rl_gen_lab.backbones.convolutional import ScaledConv2d, Shape

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}


class DropConnectConv2d(nn.Conv2d):
    """A convolution whose weights are zero with probability `rate` in training, the others scaled up to match.

    Source: Wan et al. 2013, "Regularization of Neural Networks using DropConnect"; one mask for the whole batch.
    """

    rate = 0.0

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, C, H, W) -> (B, C', H', W')."""
        weight = F.dropout(self.weight, self.rate, self.training)
        return self._conv_forward(x, weight, self.bias)


class DropPath(nn.Module):
    """Drop a path for each example with probability `rate` in training; scaled so that the mean stays the same.

    Source: Huang et al. 2016, "Deep Networks with Stochastic Depth"; scaled in training, not in evaluation.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, ...) -> same shape."""
        if not self.training or self.rate == 0.0:
            return x
        kept = torch.rand(len(x), *[1] * (x.dim() - 1), device=x.device) >= self.rate
        return x * kept / (1 - self.rate)


class Scale(nn.Module):
    """Standardize pixels. mean, std: (C,) of each channel, for pixels in [0, 1]."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", 255 * mean[:, None, None])
        self.register_buffer("std", 255 * std[:, None, None])

    def forward(self, images: Tensor) -> Tensor:
        """images: (B, C, H, W) uint8 -> same shape, float32."""
        return (images.float() - self.mean) / self.std


class ChannelNorm(nn.LayerNorm):
    """Normalize each position over its channels. Source: Ba et al. 2016, "Layer Normalization"."""

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, C, H, W) -> same shape."""
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


def convolution(
    config: BackboneConfig, channels: int, out: int, kernel: int, stride: int = 1, branches: int = 1
) -> nn.Conv2d:
    """A convolution that keeps height and width (stride 1), in `branches` independent groups."""
    bias = config.norm == "none"
    if config.drop_connect == 0.0:
        return nn.Conv2d(channels, out, kernel, stride, kernel // 2, groups=branches, bias=bias)
    dropping = DropConnectConv2d(channels, out, kernel, stride, kernel // 2, groups=branches, bias=bias)
    dropping.rate = config.drop_connect
    return dropping


def normalization(config: BackboneConfig, channels: int) -> nn.Module:
    """The normalization of these channels; group: eight groups, fewer where eight do not divide the channels."""
    if config.norm == "batch":
        return nn.BatchNorm2d(channels)
    return nn.GroupNorm(math.gcd(channels, 8), channels) if config.norm == "group" else nn.Identity()


def activation(config: BackboneConfig) -> nn.Module:
    """The activation, followed by dropout where it is configured."""
    active = ACTIVATIONS[config.activation]()
    return nn.Sequential(active, nn.Dropout(config.dropout)) if config.dropout else active


def unit(config: BackboneConfig, channels: int, out: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Convolution, normalization, activation."""
    conv = convolution(config, channels, out, kernel, stride)
    return nn.Sequential(conv, normalization(config, out), activation(config))


def stem(config: BackboneConfig, shape: Shape, out: int) -> nn.Sequential:
    """The first 3x3 convolution, on frames of `shape` (C, H, W) uint8, with normalization and activation."""
    conv = ScaledConv2d(shape, out, 3, config.first_stride, 1)
    return nn.Sequential(conv, normalization(config, out), activation(config))


def halving(config: BackboneConfig, channels: int, paper: str) -> nn.Module:
    """Halving of height and width, odd ones rounded up: (B, C, H, W) -> (B, C, ceil(H / 2), ceil(W / 2))."""
    how = paper if config.downsample == "paper" else config.downsample
    if how == "stride":
        return unit(config, channels, channels, 3, 2)
    return nn.MaxPool2d(3, 2, 1) if how == "max" else nn.AvgPool2d(3, 2, 1, count_include_pad=False)
