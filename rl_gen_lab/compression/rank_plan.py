"""Which layers to factor, and to which ranks, for a share of their energy."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from rl_gen_lab.backbones.convolutional import ScaledConv2d
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.compression.layers import WEIGHT, chosen, parametrizations
from rl_gen_lab.compression.low_rank import rank_by_energy


@torch.no_grad()
def plan_by_energy(network: nn.Module, share: float, layers: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """Plan factors that keep `share` of the squared singular values of each layer, where they need fewer numbers.

    Matrices are split in two, kernels by channels (Tucker), a first convolution into a vertical and a horizontal one.
    layers: names, as in `chosen`. Raises: ConfigError where no layer would get smaller, or one is masked or quantized.
    """
    plan = []
    for name, module in chosen(network, layers):
        if parametrizations(module):
            raise ConfigError(f"{name} is pruned or quantized already: put low_rank before these stages")
        entry, size = _entry(name, module, getattr(module, WEIGHT), share)
        if entry is not None and size < getattr(module, WEIGHT).numel():
            plan.append(entry)
    if not plan:
        raise ConfigError(f"nothing to factor: with {share:.0%} of the energy no layer would have fewer numbers")
    return plan


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
