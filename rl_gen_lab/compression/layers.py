"""Which tensors of a network are compressed, and what is in force on them.

A technique that changes how a weight is computed (a mask, levels, a codebook) is a parametrization of torch: the layer
sees the compressed weight, the optimizer the numbers behind it, and techniques can stand on each other.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, cast, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.compression import coded
from rl_gen_lab.compression.coded import CodedTensor

WEIGHT = "weight"
GREY_LEVELS = 255
# Statistics of batch normalization: one variance may be thousands of times another, and the output is divided by it.
STATISTICS = ("running_mean", "running_var")


@runtime_checkable
class Quantizer(Protocol):
    """A parametrization after which a weight takes few values."""

    def coded(self, weight: Tensor) -> CodedTensor:
        """Return the compressed weight as it is stored; weight: the numbers behind it."""


def weights(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield the layers with a weight matrix or kernel, and their names; biases and statistics are not compressed."""
    for name, module in network.named_modules():
        own = _original(module)
        if own is not None and own.dim() >= 2:
            yield name, module


def _original(module: nn.Module) -> Tensor | None:
    """The numbers behind a layer's weight."""
    if parametrize.is_parametrized(module, WEIGHT):
        behind = cast(nn.ModuleDict, module.parametrizations)[WEIGHT]
        return cast(Tensor, behind.original)
    own = module._parameters.get(WEIGHT)
    return own


def chosen(network: nn.Module, names: tuple[str, ...]) -> list[tuple[str, nn.Module]]:
    """The layers of `weights` whose names are, or end with, one of `names`; all of them where there are no names.

    Raises: ConfigError for a name that no layer has.
    """
    known = list(weights(network))
    if not known:
        raise ConfigError("the network has no weight matrix or kernel to compress")
    if not names:
        return known
    found = [(layer, module) for layer, module in known if any(_means(name, layer) for name in names)]
    for name in names:
        if not any(_means(name, layer) for layer, _ in known):
            raise ConfigError(f"no layer is named {name!r}; layers: {', '.join(layer for layer, _ in known)}")
    return found


def _means(name: str, layer: str) -> bool:
    return layer == name or layer.endswith(f".{name}")


def parametrizations(module: nn.Module) -> list[nn.Module]:
    """What is in force on a layer's weight, in order."""
    if not parametrize.is_parametrized(module, WEIGHT):
        return []
    return list(cast(nn.ModuleList, cast(nn.ModuleDict, module.parametrizations)[WEIGHT]))


@torch.no_grad()
def plain_state(network: nn.Module, *, buffers: bool = True) -> dict[str, Tensor]:
    """Return the state by the names that the network had before anything was in force, weights as layers see them.

    buffers: with the statistics, or the parameters alone.
    """
    state = {}
    for prefix, module in network.named_modules():
        if isinstance(module, parametrize.ParametrizationList) or ".parametrizations." in f".{prefix}.":
            continue
        path = f"{prefix}." if prefix else ""
        if parametrize.is_parametrized(module, WEIGHT):
            state[path + WEIGHT] = cast(Tensor, module.weight).detach()
        for name, tensor in (*module._parameters.items(), *(module._buffers.items() if buffers else ())):
            if tensor is not None and name not in module._non_persistent_buffers_set:
                state[path + name] = tensor.detach()
    return state


@torch.no_grad()
def coded_state(network: nn.Module) -> dict[str, CodedTensor]:
    """Return every tensor of the state as it is stored: by a quantizer where one is in force.

    Other weights without a mask, statistics of batch normalization and single numbers are float32, tensors of one value
    that value, mean frames whole grey levels; masked weights, whose zeros then cost next to nothing, biases and all
    other parameters have 255 levels.
    """
    quantized = {}
    for name, module in weights(network):
        stored = _stored(module)
        if stored is not None:
            quantized[f"{name}.{WEIGHT}" if name else WEIGHT] = stored
    matrices = {
        f"{name}.{WEIGHT}" if name else WEIGHT for name, module in weights(network) if not parametrizations(module)
    }
    found = {}
    for name, tensor in plain_state(network).items():
        array = tensor.cpu().numpy()
        if name in quantized:
            found[name] = quantized[name]
        elif name in matrices or name.endswith(STATISTICS) or array.ndim == 0 or array.dtype.kind != "f":
            found[name] = coded.plain(array)
        elif (array == array.flat[0]).all():
            found[name] = coded.constant(float(array.flat[0]), array.shape)
        else:
            found[name] = coded.image(array) if _is_mean_frame(name, array) else coded.eight_bits(array)
    return found


def _stored(module: nn.Module) -> CodedTensor | None:
    weight, stored = _original(module), None
    assert weight is not None
    for step in parametrizations(module):
        if isinstance(step, Quantizer):
            stored = step.coded(weight)
        weight = step(weight)
    return stored


def _is_mean_frame(name: str, array: np.ndarray) -> bool:
    whole = array.ndim == 3 and name.endswith(".mean")
    return whole and float(array.min()) >= 0 and float(array.max()) <= GREY_LEVELS
