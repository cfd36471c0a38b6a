"""Cost of a network, counted while a frame passes through it, and the check that frames are not too small for it."""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from rl_gen_lab.cli.errors import ConfigError

FORMULA = "(input + padding - kernel) / stride + 1"
Windowed = nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d


@dataclass(frozen=True)
class Counts:
    """The cost of a network. parameters: learned weights; multiply_adds and activations: of an example.

    Source: Radosavovic et al. 2020, "Designing Network Design Spaces", section 2: activations are the outputs of all
    convolutions and, here, fully connected layers; additions of biases, normalization and pooling are not counted.
    """

    parameters: int
    multiply_adds: int
    activations: int


def count(network: nn.Module, shape: tuple[int, ...], dtype: torch.dtype = torch.uint8) -> Counts:
    """Count the cost for examples of `shape` (without B), on a copy of the network."""
    device = torch.device("meta" if any(weight.is_meta for weight in network.parameters()) else "cpu")
    network_copy = copy.deepcopy(network).to(device).eval()
    multiply_adds = activations = 0

    def add(module: nn.Module, _: Any, out: Tensor) -> None:
        nonlocal multiply_adds, activations
        assert isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear)
        outputs = out.numel()
        weights_per_output = module.weight.numel() // out.shape[-1 if isinstance(module, nn.Linear) else 1]
        if isinstance(module, nn.ConvTranspose2d):  # each input is multiplied with the whole kernel
            outputs = outputs // math.prod(module.stride)
            weights_per_output = module.weight.numel() // module.out_channels
        multiply_adds += outputs * weights_per_output
        activations += out.numel()

    for module in network_copy.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            module.register_forward_hook(add)
    with torch.no_grad():
        network_copy(torch.zeros(1, *shape, dtype=dtype, device=device))
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return Counts(parameters, multiply_adds, activations)


@contextlib.contextmanager
def checked(network: nn.Module, shape: tuple[int, ...]) -> Iterator[None]:
    """Check layers in this context: one whose window exceeds its input raises ConfigError with the arithmetic.

    So does one that leaves a single value to normalize.
    """
    last: list[str] = []  # the last layer with a window, and its arithmetic

    def check(name: str, layer: Windowed, x: Tensor) -> None:
        last[:] = [_check(name, layer, x, shape)]

    hooks = [
        module.register_forward_pre_hook(lambda module, args, name=name: check(name, module, args[0]))
        for name, module in network.named_modules()
        if isinstance(module, Windowed)
    ]
    try:
        yield
    except ValueError as error:  # a single value cannot be normalized
        raise ConfigError(f"frames of {shape} are too small for this backbone: {' '.join(last)}: {error}") from error
    finally:
        for hook in hooks:
            hook.remove()


def _check(name: str, layer: Windowed, x: Tensor, shape: tuple[int, ...]) -> str:
    """Describe the layer's output size for x (B, C, H, W). Raises: ConfigError when it is 0."""
    sizes = []
    for axis, side in enumerate(("height", "width")):
        size = x.shape[axis - 2]
        kernel, stride, padding = (_of(value, axis) for value in (layer.kernel_size, layer.stride, layer.padding))
        if isinstance(layer, nn.Conv2d):
            kernel = layer.dilation[axis] * (kernel - 1) + 1
        out = (size + 2 * padding - kernel) // stride + 1
        numbers = f"({size} + {2 * padding} - {kernel}) / {stride} + 1 = {out}"
        if out < 1:
            raise ConfigError(
                f"frames of {shape} are too small for this backbone: layer {name} sees {side} {size}, and"
                f" {FORMULA} = {numbers} must be at least 1"
            )
        sizes.append(f"{side} {numbers}")
    return f"layer {name} gives, by {FORMULA}, {' and '.join(sizes)}"


def _of(value: Any, axis: int) -> int:
    return int(value[axis] if isinstance(value, tuple) else value)
