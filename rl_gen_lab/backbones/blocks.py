"""The pieces that the newer backbones are made of: convolution, normalisation, activation, pooling, things dropped."""

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
    """A convolution of which each weight is zero with probability `rate` in training, the others scaled up to match.

    Source: Wan et al. 2013, "Regularization of Neural Networks using DropConnect"; one mask for the whole batch.
    """

    rate = 0.0

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, C, H, W) -> (B, C', H', W')."""
        weight = F.dropout(self.weight, self.rate, self.training)
        return self._conv_forward(x, weight, self.bias)


class DropPath(nn.Module):
    """Zero for each example with probability `rate` in training, what stays is scaled so that the mean is the same.

    Source: Huang et al. 2016, "Deep Networks with Stochastic Depth"; scaled in training and not in use.
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


def convolution(
    config: BackboneConfig, channels: int, out: int, kernel: int, stride: int = 1, branches: int = 1
) -> nn.Conv2d:
    """A convolution that keeps height and width (stride 1), of as many independent branches as asked for."""
    bias = config.norm == "none"
    if config.drop_connect == 0.0:
        return nn.Conv2d(channels, out, kernel, stride, kernel // 2, groups=branches, bias=bias)
    dropping = DropConnectConv2d(channels, out, kernel, stride, kernel // 2, groups=branches, bias=bias)
    dropping.rate = config.drop_connect
    return dropping


def normalisation(config: BackboneConfig, channels: int) -> nn.Module:
    """Normalise these channels; group: eight groups, fewer where eight do not divide the channels."""
    if config.norm == "batch":
        return nn.BatchNorm2d(channels)
    return nn.GroupNorm(math.gcd(channels, 8), channels) if config.norm == "group" else nn.Identity()


def activation(config: BackboneConfig) -> nn.Module:
    """The activation, and dropout behind it where there is some."""
    active = ACTIVATIONS[config.activation]()
    return nn.Sequential(active, nn.Dropout(config.dropout)) if config.dropout else active


def unit(config: BackboneConfig, channels: int, out: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Convolution, normalisation, activation."""
    conv = convolution(config, channels, out, kernel, stride)
    return nn.Sequential(conv, normalisation(config, out), activation(config))


def stem(config: BackboneConfig, shape: Shape, out: int) -> nn.Sequential:
    """The first 3x3 convolution, on frames of `shape` (C, H, W) uint8, with normalisation and activation."""
    conv = ScaledConv2d(shape, out, 3, config.first_stride, 1)
    return nn.Sequential(conv, normalisation(config, out), activation(config))


def halving(config: BackboneConfig, channels: int, paper: str) -> nn.Module:
    """Halve height and width, odd ones rounded up: (B, C, H, W) -> (B, C, ceil(H / 2), ceil(W / 2))."""
    how = paper if config.downsample == "paper" else config.downsample
    if how == "stride":
        return unit(config, channels, channels, 3, 2)
    return nn.MaxPool2d(3, 2, 1) if how == "max" else nn.AvgPool2d(3, 2, 1, count_include_pad=False)
