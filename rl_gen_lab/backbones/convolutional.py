"""Convolutional backbones for uint8 frames (B, C, H, W)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rl_gen_lab.backbones.described import parse
from rl_gen_lab.backbones.flops import Counts, checked, count
from rl_gen_lab.cli.errors import ConfigError

Shape = tuple[int, ...]


@dataclass(frozen=True)
class FeatureMap:
    """The shape of a feature map. stride: pixels of the frame from one position to the next."""

    channels: int
    stride: int
    height: int
    width: int


class ScaledConv2d(nn.Conv2d):
    """First convolution on uint8 frames; the scale is folded into the (small) weight, not applied to each pixel.

    At first, pixels are divided by 255. After `standardize` the mean frame is subtracted and the rest divided by the
    standard deviation: most of a game's image is a still background, and the few pixels that move are what matters.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, shape: Shape, out: int, kernel: int, stride: int = 1, padding: int = 0) -> None:
        super().__init__(shape[0], out, kernel, stride, padding)
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("scale", torch.tensor(1 / 255))

    def standardize(self, frames: Tensor) -> None:
        """frames: (M, c, H, W) uint8, single frames of the stacks that `forward` gets, c dividing its channels."""
        frames = frames.float()
        mean = frames.mean(0)
        std = (frames - mean).square().mean().sqrt().clamp_min(1.0)
        self.mean.copy_(mean.repeat(self.in_channels // len(mean), 1, 1))
        self.scale.copy_(1 / std)

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, C, H, W) uint8, or float in [0, 255] -> (B, C', H', W') float32."""
        own = self.weight  # once: a parametrized weight is computed at each look
        weight = own * self.scale
        if self._folds(x) and torch.is_grad_enabled() and own.requires_grad:
            # fold before converting: moving uint8 costs a quarter of moving float32
            x, mean, weight = (fold(tensor, self.stride[0]) for tensor in (x, self.mean[None], weight))
            return F.conv2d(x.to(weight.dtype, copy=True).sub_(mean), weight, self.bias)
        centered = x.to(weight.dtype, copy=True).sub_(self.mean)  # in place: no second pass over the memory
        return F.conv2d(centered, weight, self.bias, self.stride, self.padding)

    def _folds(self, x: Tensor) -> bool:
        """Return whether to fold frames (space to depth): on a CPU, where strides divide the kernel and the frame.

        The CPU computes a weight's gradient three times faster for many channels and few pixels than for the 4 channels
        and 8x8 pixels of the Nature network. Without gradients folding gains nothing.
        """
        (kernel, kernel_w), (stride, stride_w), size = self.kernel_size, self.stride, x.shape[2:]
        square = kernel == kernel_w and stride == stride_w and not any(self.padding)
        return x.device.type == "cpu" and square and stride > 1 and not any(n % stride for n in (kernel, *size))


def fold(x: Tensor, block: int) -> Tensor:
    """Space to depth: (B, C, H, W) -> (B, C * block * block, H / block, W / block), of any type.

    A weight (C', C, k, k) folded likewise gives with stride 1 on folded frames what it gives with stride `block` on
    frames.
    """
    batch, channels, height, width = x.shape
    tiles = x.view(batch, channels, height // block, block, width // block, block).permute(0, 1, 3, 5, 2, 4)
    return tiles.reshape(batch, channels * block * block, height // block, width // block)


def conv_stack(shape: Shape, *layers: tuple[int, int, int]) -> nn.Sequential:
    """Convolutions with ReLU for frames of `shape` (C, H, W); a layer is (channels out, kernel, stride)."""
    modules: list[nn.Module] = []
    channels = shape[0]
    for out, kernel, stride in layers:
        conv = nn.Conv2d(channels, out, kernel, stride) if modules else ScaledConv2d(shape, out, kernel, stride)
        modules += [conv, nn.ReLU(inplace=True)]
        channels = out
    return nn.Sequential(*modules)


class Convolutional(nn.Module):
    """Abstract base: convolutions, then a fully connected layer with ReLU or the average over all positions.

    `feature_maps` holds the shapes of `maps`.
    """

    fc: nn.Linear | None

    def __init__(self, shape: Shape, conv: nn.Sequential, out_features: int | None, strides: dict[int, int]) -> None:
        """out_features: units of the fully connected layer; None: the average (Lin et al. 2014, "Network In Network").

        strides: index of each module of `conv` that ends with a feature map, the last included -> its stride [px].
        """
        super().__init__()
        self.conv, self.shape, self.strides = conv, shape, strides
        conv.eval()  # the frame of zeros must not change running statistics
        try:
            with torch.no_grad(), checked(conv, shape):
                maps = self.maps(torch.zeros(1, *shape, dtype=torch.uint8))
        except ConfigError:
            raise
        except RuntimeError as error:
            raise ConfigError(f"frames of {shape} are too small for this backbone: {error}") from error
        conv.train()
        self.feature_maps = tuple(
            FeatureMap(map_.shape[1], stride, map_.shape[2], map_.shape[3])
            for map_, stride in zip(maps, strides.values(), strict=True)
        )
        self.fc = None if out_features is None else nn.Linear(maps[-1].numel(), out_features)
        self.out_features = out_features or maps[-1].shape[1]

    def standardize(self, frames: Tensor) -> None:
        """Standardize the input by `frames` (M, c, H, W) uint8, single frames of the stacks that `forward` gets."""
        self._first().standardize(frames)

    def normalize(self, mean: Tensor, std: Tensor) -> None:
        """Subtract the mean, (C,), and divide by the mean of std, (C,): statistics of channels for pixels in [0, 1]."""
        first = self._first()
        first.mean.copy_((255 * mean)[:, None, None].expand_as(first.mean))
        first.scale.copy_(1 / (255 * std.mean()))

    def counts(self) -> Counts:
        """Count parameters, and multiply-adds and activations for one observation."""
        return count(self, self.shape)

    def maps(self, frames: Tensor) -> list[Tensor]:
        """frames: (B, C, H, W) uint8 -> a tensor (B, C', H', W') float32 for each of `feature_maps`."""
        maps = []
        x = frames
        for index, module in enumerate(self.conv):
            x = module(x)
            if index in self.strides:
                maps.append(x)
        return maps

    def forward(self, frames: Tensor) -> Tensor:
        """frames: (B, C, H, W) uint8 -> (B, out_features) float32; at least 0 after ReLU."""
        if self.fc is None:
            return self.conv(frames).mean((2, 3))
        return F.relu(self.fc(self.conv(frames).flatten(1)), inplace=True)

    def _first(self) -> ScaledConv2d:
        return next(module for module in self.conv.modules() if isinstance(module, ScaledConv2d))


class Nature(Convolutional):
    """The network of Mnih et al. 2015, "Human-level control through deep reinforcement learning". 1.7 M weights."""

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape, conv_stack(shape, (32, 8, 4), (64, 4, 2), (64, 3, 1)), 512, {1: 4, 3: 8, 5: 8})


class Small(Convolutional):
    """The Nature network with half the channels, a third of its arithmetic: for CPUs. 0.42 M weights."""

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape, conv_stack(shape, (16, 8, 4), (32, 4, 2), (32, 3, 1)), 256, {1: 4, 3: 8, 5: 8})


class Tiny(Convolutional):
    """The network of Young & Tian 2019, "MinAtar", for images of a few cells: one 3x3 convolution of 16 channels."""

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape, conv_stack(shape, (16, 3, 1)), 128, {1: 1})


class Described(Convolutional):
    """A network written as text, as `described.parse` reads it: "8x8s4-8x4s2-p-32"."""

    def __init__(self, text: str, shape: Shape) -> None:
        """Raises: ConfigError for a text that cannot be read, or frames that are too small."""
        description = parse(text)
        description.map_shape(shape)
        layers = description.convolutions
        strides, stride = {}, 1
        for index, (_, _, step) in enumerate(layers):
            stride *= step
            strides[2 * index + 1] = stride
        base_units = None if description.profiles else description.units
        super().__init__(shape, conv_stack(shape, *layers), base_units, strides)
        self.profiles, self.out_features = description.profiles, description.units
        if self.profiles:
            self.fc = nn.Linear(description.features(shape), description.units)

    def forward(self, frames: Tensor) -> Tensor:
        """frames: (B, C, H, W) uint8 -> (B, units) float32; at least 0 after ReLU."""
        if not self.profiles:
            return super().forward(frames)
        last = self.conv(frames)
        assert self.fc is not None
        return F.relu(self.fc(torch.cat([last.mean(3).flatten(1), last.mean(2).flatten(1)], 1)), inplace=True)


class Residual(nn.Module):
    """Two 3x3 convolutions around a skip connection. Source: Espeholt et al. 2018, "IMPALA", figure 3."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> same shape."""
        return x + self.conv2(F.relu(self.conv1(F.relu(x))))


class Impala(Convolutional):
    """The large network of Espeholt et al. 2018, "IMPALA", figure 3: three stages of 16, 32, 32 channels."""

    def __init__(self, shape: Shape) -> None:
        stages: list[nn.Module] = []
        channels = shape[0]
        for out in (16, 32, 32):
            conv = nn.Conv2d(channels, out, 3, padding=1) if stages else ScaledConv2d(shape, out, 3, padding=1)
            stages += [conv, nn.MaxPool2d(3, 2, padding=1)]
            stages += [Residual(out), Residual(out)]
            channels = out
        super().__init__(shape, nn.Sequential(*stages, nn.ReLU()), 256, {3: 2, 7: 4, 12: 8})
