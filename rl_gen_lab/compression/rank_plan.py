"""Which layers to factor, and to which ranks: for a share of their energy, or with so many numbers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from rl_gen_lab.backbones.convolutional import ScaledConv2d
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.compression.layers import WEIGHT, chosen, parametrizations
from rl_gen_lab.compression.low_rank import matrix_of, rank_by_energy, ranks_by_budget


@torch.no_grad()
def plan_by_energy(network: nn.Module, share: float, layers: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """Plan factors that keep `share` of the squared singular values of each layer, where they need fewer numbers.

    Matrices are split in two, kernels by channels (Tucker), a first convolution into a vertical and a horizontal one.
    layers: names, as in `chosen`. Raises: ConfigError where no layer would get smaller, or one is masked or quantized.
    """
    plan = []
    for name, module in chosen(network, layers):
        _refuse_changed(name, module)
        entry, size = _entry(name, module, getattr(module, WEIGHT), share)
        if entry is not None and size < getattr(module, WEIGHT).numel():
            plan.append(entry)
    if not plan:
        raise ConfigError(f"nothing to factor: with {share:.0%} of the energy no layer would have fewer numbers")
    return plan


@torch.no_grad()
def plan_by_budget(network: nn.Module, numbers: int, layers: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """Plan factors of at most `numbers` numbers in all that keep as much of each layer as they can.

    Matrices are split in two, kernels into a vertical and a horizontal one; layers that factors would not make smaller
    stay, and do not count. layers: names, as in `chosen`. Raises: ConfigError where nothing would get smaller, not even
    rank 1 fits, or a layer is masked or quantized.
    """
    kinds, matrices = {}, {}
    for name, module in chosen(network, layers):
        _refuse_changed(name, module)
        if type(module) in (nn.Linear, nn.Conv2d, ScaledConv2d) and getattr(module, "groups", 1) == 1:
            kinds[name] = "linear" if isinstance(module, nn.Linear) else "separable"
            matrices[name] = getattr(module, WEIGHT)
    ranks = ranks_by_budget(matrices, numbers)
    sizes = {name: ranks[name] * sum(matrix_of(weight).shape) for name, weight in matrices.items()}
    plan = [
        {"layer": name, "kind": kinds[name], "ranks": [ranks[name]]}
        for name, weight in matrices.items()
        if sizes[name] < weight.numel()
    ]
    if not plan:
        raise ConfigError(f"nothing to factor: with {numbers:,} numbers no layer would get smaller")
    return plan


def _refuse_changed(name: str, module: nn.Module) -> None:
    if parametrizations(module):
        raise ConfigError(f"{name} is pruned or quantized already: put low_rank before these stages")


def _entry(name: str, module: nn.Module, weight: Tensor, share: float) -> tuple[dict[str, Any] | None, int]:
    """Return the plan of a layer, None for a kind without one, and the numbers in its factors."""
    if type(module) is nn.Linear:  # no subclass, as in `low_rank.factor`
        rank = rank_by_energy(weight, share)
        return {"layer": name, "kind": "linear", "ranks": [rank]}, rank * sum(weight.shape)
    if type(module) not in (nn.Conv2d, ScaledConv2d) or module.groups != 1:
        return None, 0
    out, into, height, width = weight.shape
    if isinstance(module, ScaledConv2d):
        rank = rank_by_energy(weight.permute(1, 2, 0, 3).reshape(into * height, out * width), share)
        return {"layer": name, "kind": "separable", "ranks": [rank]}, rank * (into * height + out * width)
    ranks = [
        rank_by_energy(weight.transpose(0, 1).reshape(into, -1), share),
        rank_by_energy(weight.reshape(out, -1), share),
    ]
    size = into * ranks[0] + ranks[0] * ranks[1] * height * width + ranks[1] * out
    return {"layer": name, "kind": "tucker", "ranks": ranks}, size
