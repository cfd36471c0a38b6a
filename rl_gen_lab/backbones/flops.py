"""What a network costs, counted while a frame passes through it, and which of its layers a frame is too small for."""

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
    """parameters: weights that are learned; multiply_adds and activations: of one example.

    Source: Radosavovic et al. 2020, "Designing Network Design Spaces", section 2: activations are the outputs of all
    convolutions and, here, fully connected layers; additions of biases, normalisation and pooling are not counted.
    """

    parameters: int
    multiply_adds: int
    activations: int


def count(network: nn.Module, shape: tuple[int, ...], dtype: torch.dtype = torch.uint8) -> Counts:
    """Counts for examples of `shape` (without B). The network itself is left as it is."""
    device = torch.device("meta" if any(weight.is_meta for weight in network.parameters()) else "cpu")
    twin = copy.deepcopy(network).to(device).eval()
    multiply_adds = activations = 0

    def look(module: nn.Module, _: Any, out: Tensor) -> None:
        nonlocal multiply_adds, activations
        assert isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear)
        outputs = out.numel()
        weights_each = module.weight.numel() // out.shape[-1 if isinstance(module, nn.Linear) else 1]
        if isinstance(module, nn.ConvTranspose2d):  # each input meets the whole kernel
            outputs = outputs // math.prod(module.stride)
            weights_each = module.weight.numel() // module.out_channels
        multiply_adds += outputs * weights_each
        activations += out.numel()

    for module in twin.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            module.register_forward_hook(look)
    with torch.no_grad():
        twin(torch.zeros(1, *shape, dtype=dtype, device=device))
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return Counts(parameters, multiply_adds, activations)


@contextlib.contextmanager
def checked(network: nn.Module, shape: tuple[int, ...]) -> Iterator[None]:
    """While inside, a layer whose window does not fit its input raises ConfigError with the arithmetic.

    So does one that leaves a single value where normalisation needs more.
    """
    last: list[str] = []  # the layer with a window that a frame came through last, and its arithmetic

    def look(name: str, layer: Windowed, x: Tensor) -> None:
        last[:] = [_check(name, layer, x, shape)]

    hooks = [
        module.register_forward_pre_hook(lambda module, args, name=name: look(name, module, args[0]))
        for name, module in network.named_modules()
        if isinstance(module, Windowed)
    ]
    try:
        yield
    except ValueError as error:  # a single value cannot be normalised
        raise ConfigError(f"frames of {shape} are too small for this backbone: {' '.join(last)}: {error}") from error
    finally:
        for hook in hooks:
            hook.remove()


def _check(name: str, layer: Windowed, x: Tensor, shape: tuple[int, ...]) -> str:
    """What the layer makes of x (B, C, H, W), in words. Raises: ConfigError when that is nothing."""
    made = []
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
        made.append(f"{side} {numbers}")
    return f"layer {name} gives, by {FORMULA}, {' and '.join(made)}"


def _of(value: Any, axis: int) -> int:
    return int(value[axis] if isinstance(value, tuple) else value)
