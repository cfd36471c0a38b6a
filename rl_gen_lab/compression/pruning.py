"""Magnitude pruning while the network learns: small weights are set to 0, and may grow back."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from rl_gen_lab.compression.layers import WEIGHT, parametrizations

Scope = Literal["network", "layer"]


class Pruned(nn.Module):
    """Parametrization: a weight times a mask of 0 and 1. Gradients reach the masked numbers too, so they can return.

    Source: Guo et al. 2016, "Dynamic network surgery for efficient DNNs", section 3.2. `zeros_before`: share of the
    mask that was 0 when the present stage of pruning began; a buffer, so that a stage that is continued knows it.
    """

    mask: Tensor
    zeros_before: Tensor

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.register_buffer("mask", torch.ones(weight.shape, dtype=torch.bool))
        self.register_buffer("zeros_before", torch.zeros(()))

    def forward(self, weight: Tensor) -> Tensor:
        """weight: of any shape -> the same, zeros where the mask is 0."""
        return weight - (weight * ~self.mask).detach()


def cubic(progress: float, final: float, reached: float = 0.7, start: float = 0.0) -> float:
    """Share of weights that are 0 at `progress` in [0, 1]; `final` from `reached` on, so that the rest can heal.

    start: the share at progress 0. Source: Zhu & Gupta 2017, "To prune, or not to prune", eq. 1.
    """
    return final + (start - final) * (1 - min(progress / reached, 1.0)) ** 3


class Pruner:
    """Masks the smallest weights of some layers, more of them as training goes on."""

    def __init__(self, layers: list[tuple[str, nn.Module]], kept: float, scope: Scope) -> None:
        """kept: share of the weights that stays; scope: of the network, whose layers are compared by the root mean
        square of their weights, or of each layer."""
        self.kept, self.scope = kept, scope
        self.masks: list[tuple[Tensor, Pruned]] = []
        for _, module in layers:
            step = next((p for p in parametrizations(module) if isinstance(p, Pruned)), None)
            if step is None:
                step = Pruned(getattr(module, WEIGHT))
                parametrize.register_parametrization(module, WEIGHT, step)
            step.zeros_before.copy_((~step.mask).float().mean())
            self.masks.append((module.parametrizations[WEIGHT].original, step))  # type: ignore[index,union-attr]

    @torch.no_grad()
    def update(self, progress: float) -> None:
        """Choose anew which weights are 0; of weights of the same size all or none are."""
        sizes = [weight.abs() / weight.square().mean().sqrt().clamp_min(1e-12) for weight, _ in self.masks]
        everything = torch.cat([size.flatten() for size in sizes])
        before = sum(float(step.zeros_before) * weight.numel() for weight, step in self.masks) / len(everything)
        for size, (_, step) in zip(sizes, self.masks, strict=True):
            whole = self.scope == "network"
            among = everything if whole else size.flatten()
            cut = int(cubic(progress, 1 - self.kept, start=before if whole else float(step.zeros_before)) * len(among))
            least = among.kthvalue(cut).values if cut else torch.tensor(-1.0)
            step.mask.copy_(size > least)


def kept_share(network: nn.Module) -> float:
    """Share of the masked weights that is not 0; 1 where nothing is masked."""
    masks = [p.mask for module in network.modules() for p in parametrizations(module) if isinstance(p, Pruned)]
    return float(torch.cat([mask.flatten() for mask in masks]).float().mean()) if masks else 1.0
