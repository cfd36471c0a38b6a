"""Bounds on what a network gives for every input within a box, in one pass: arithmetic on intervals.

An `Interval` passes through a network in place of its input: the layers of our networks, linear layers exactly, ReLUs,
pooling and sums. What has no rule here is refused by name. Bounds keep their gradients, so they can also be learned.

Source: Gowal et al. 2018, "On the effectiveness of interval bound propagation for training verifiably robust models",
equations 5 to 8.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from rl_gen_lab.cli.errors import ConfigError

PIXEL = 255.0  # the largest value of a pixel


class Interval:
    """Two tensors of a shape, low <= high, between which every value of a box lies; stands in for a tensor."""

    def __init__(self, low: Tensor, high: Tensor) -> None:
        self.low, self.high = low, high

    @classmethod
    def around(cls, frames: Tensor, levels: float) -> Interval:
        """Return the box of frames (B, C, H, W) in [0, 255] whose pixels differ by at most so many gray levels."""
        frames = frames.float() if not frames.is_floating_point() else frames
        return cls((frames - levels).clamp(min=0), (frames + levels).clamp(max=PIXEL))

    @property
    def middle(self) -> Tensor:
        """The middle of the box."""
        return (self.low + self.high) / 2

    @property
    def radius(self) -> Tensor:
        """Half of its width."""
        return (self.high - self.low) / 2

    @property
    def shape(self) -> torch.Size:
        """The shape of either end."""
        return self.low.shape

    @property
    def ndim(self) -> int:
        """Its number of dimensions."""
        return self.low.ndim

    def dim(self) -> int:
        """Return its number of dimensions, as tensors do."""
        return self.low.ndim

    def size(self, *dimension: int) -> Any:
        """Return its shape, or its size in one dimension, as tensors do."""
        return self.low.size(*dimension)

    @property
    def device(self) -> torch.device:
        """Where it is."""
        return self.low.device

    @property
    def dtype(self) -> torch.dtype:
        """The type of its numbers."""
        return self.low.dtype

    def __len__(self) -> int:
        return len(self.low)

    def __getattr__(self, name: str) -> Callable[..., Interval]:
        """Return a method of tensors that moves numbers or is a function with a rule. Raises: ConfigError."""
        if name in MOVING:
            return lambda *args, **kwargs: self.each(lambda end: getattr(end, name)(*args, **kwargs))
        if name in ("relu", "relu_", "clamp", "clamp_", "clamp_min", "sub", "sub_", "add", "add_", "mul", "mul_"):
            return lambda *args, **kwargs: RULES[getattr(Tensor, name)](self, *args, **kwargs)
        if name.startswith("__"):
            raise AttributeError(name)
        raise ConfigError(f"no bounds here for {name}: this network has none by intervals")

    def each(self, function: Callable[[Tensor], Tensor]) -> Interval:
        """Apply a function that rises with every number to both ends."""
        return Interval(function(self.low), function(self.high))

    def __add__(self, other: Any) -> Interval:
        if isinstance(other, Interval):
            return Interval(self.low + other.low, self.high + other.high)
        return Interval(self.low + other, self.high + other)

    __radd__ = __add__

    def __neg__(self) -> Interval:
        return Interval(-self.high, -self.low)

    def __sub__(self, other: Any) -> Interval:
        return self + (-other)

    def __rsub__(self, other: Any) -> Interval:
        return -self + other

    def __mul__(self, factor: Any) -> Interval:
        first, second = self.low * factor, self.high * factor
        return Interval(torch.minimum(first, second), torch.maximum(first, second))

    __rmul__ = __mul__

    def __truediv__(self, divisor: Any) -> Interval:
        return self * (1 / divisor)

    def __getitem__(self, places: Any) -> Interval:
        return self.each(lambda end: end[places])

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Apply the rule of a function of torch. Raises: ConfigError for one that has none."""
        rule = RULES.get(func)
        if rule is None:
            raise ConfigError(f"no bounds here for {getattr(func, '__name__', func)}: this network has none")
        return rule(*args, **(kwargs or {}))


# Methods that move or average numbers, so that both ends go the same way.
MOVING = (
    *("to", "float", "double", "flatten", "view", "reshape", "permute", "transpose", "mean", "sum", "contiguous"),
    *("squeeze", "unsqueeze", "expand", "amax", "clone", "detach"),
)


def _rising(function: Callable[..., Tensor]) -> Callable[..., Interval]:
    return lambda x, *args, **kwargs: x.each(lambda end: function(end, *args, **kwargs))


def _affine(function: Callable[..., Tensor]) -> Callable[..., Interval]:
    """Return the rule of a product with weights: the middle as it is, the radius by the weights' absolute values."""

    def rule(x: Interval, weight: Tensor, bias: Tensor | None = None, *args: Any, **kwargs: Any) -> Interval:
        middle = function(x.middle, weight, bias, *args, **kwargs)
        radius = function(x.radius, weight.abs(), None, *args, **kwargs)
        return Interval(middle - radius, middle + radius)

    return rule


def _batch_norm(
    x: Interval,
    mean: Tensor | None,
    variance: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Interval:
    if training or mean is None or variance is None:
        raise ConfigError("no bounds here for batch normalization by the batch: set the network to eval()")
    factor = (variance + eps).rsqrt() * (1.0 if weight is None else weight)
    place = (1, -1, *[1] * (x.ndim - 2))
    shift = -mean * factor + (0.0 if bias is None else bias)
    return x * factor.view(place) + shift.view(place)


def _cat(parts: Iterable[Any], dim: int = 0) -> Interval:
    known = [part if isinstance(part, Interval) else Interval(part, part) for part in parts]
    return Interval(torch.cat([one.low for one in known], dim), torch.cat([one.high for one in known], dim))


def _stack(parts: Iterable[Any], dim: int = 0) -> Interval:
    known = list(parts)
    return Interval(torch.stack([one.low for one in known], dim), torch.stack([one.high for one in known], dim))


def _relu(x: Interval, inplace: bool = False) -> Interval:
    return x.each(torch.relu)


def _clamp(x: Interval, min: float | None = None, max: float | None = None) -> Interval:
    return x.each(lambda end: end.clamp(min, max))


RULES: dict[Any, Callable[..., Interval]] = {
    F.conv2d: _affine(F.conv2d),
    F.linear: _affine(F.linear),
    F.batch_norm: _batch_norm,
    torch.cat: _cat,
    torch.stack: _stack,
    torch.add: lambda x, y: x + y if isinstance(x, Interval) else y + x,
    torch.sub: lambda x, y: x - y if isinstance(x, Interval) else -y + x,
    torch.mul: lambda x, y: x * y if isinstance(x, Interval) else y * x,
    Tensor.sub: lambda x, y: x - y if isinstance(x, Interval) else -y + x,
    **dict.fromkeys((F.relu, F.relu_, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_), _relu),
    **dict.fromkeys((torch.clamp, Tensor.clamp, Tensor.clamp_), _clamp),
    **dict.fromkeys((Tensor.clamp_min,), lambda x, min: _clamp(x, min)),
    **dict.fromkeys((Tensor.sub_,), lambda x, y: x - y),
    **dict.fromkeys((Tensor.add, Tensor.add_), lambda x, y: x + y if isinstance(x, Interval) else y + x),
    **dict.fromkeys((Tensor.mul, Tensor.mul_), lambda x, y: x * y if isinstance(x, Interval) else y * x),
    **{
        function: _rising(function)
        for function in (F.max_pool2d, F.avg_pool2d, F.adaptive_avg_pool2d, torch.flatten, torch.tanh, torch.sigmoid)
    },
}
