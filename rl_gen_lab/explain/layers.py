"""Layers of a network by name. The networks of an ensemble are one: their layers of a name belong together."""

from __future__ import annotations

import copy
import re

import torch
from torch import Tensor, nn

MEMBER = re.compile(r"^(?:newest\.|snapshots\.\d+\.)?(?:networks\.\d+\.)?")  # of `agents/rl/q_networks.py`
BODY = re.compile(r"(?:^|\.)(?:backbone|value_backbone|core|conv|layers)(?:\.|$)")


def part_of(name: str) -> str:
    """Return the name of a layer without that of the network of an ensemble.

    >>> part_of("snapshots.2.backbone.conv.4"), part_of("newest.networks.1.advantage"), part_of("value")
    ('backbone.conv.4', 'advantage', 'value')
    """
    return MEMBER.sub("", name)


def parts(network: nn.Module, name: str) -> list[nn.Module]:
    """Return the modules of that name, one of each network of an ensemble."""
    return [module for own, module in network.named_modules() if part_of(own) == name]


def subtracted(network: nn.Module) -> Tensor | float:
    """Return what the first layer subtracts from frames, (C, H, W) or (C, 1, 1) float32; 0 where it does not."""
    found = (getattr(module, "mean", None) for module in network.modules())
    return next((mean.float() for mean in found if isinstance(mean, Tensor) and mean.ndim == 3), 0.0)


def learned_layers(network: nn.Module) -> list[list[str]]:
    """Return the names of the layers with weights from the output down, those that make the output together first."""
    names = [
        part_of(name)
        for name, module in network.named_modules()
        if callable(getattr(module, "reset_parameters", None)) and next(module.parameters(False), None) is not None
    ]
    names = list(dict.fromkeys(names))
    output = [name for name in names if not BODY.search(name)] or names[-1:]
    return [output, *([name] for name in reversed(names) if name not in output)]


def randomized(network: nn.Module, names: list[str] | None = None, seed: int = 0) -> nn.Module:
    """Return a copy whose layers of these names (None: all) have random weights; the input's mean and scale stay."""
    copied = copy.deepcopy(network)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        for name in names if names is not None else [n for group in learned_layers(network) for n in group]:
            for module in parts(copied, name):
                module.reset_parameters()  # type: ignore[operator]
    return copied
