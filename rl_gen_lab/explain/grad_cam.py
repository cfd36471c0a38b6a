"""Grad-CAM: which positions of a layer's map speak for the number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rl_gen_lab.cli.errors import ConfigError, suggest
from rl_gen_lab.explain.layers import part_of, parts
from rl_gen_lab.explain.model import Explained, in_batches


def layer_names(network: nn.Module) -> list[str]:
    """Return the names of a network's convolutions, first to last; those of the networks of an ensemble share one."""
    convolutions = (name for name, module in network.named_modules() if isinstance(module, nn.Conv2d))
    return list(dict.fromkeys(part_of(name) for name in convolutions))


def checked_layer(network: nn.Module, layer: str | None) -> str:
    """Return the name of a convolution (None: the last of the backbone). Raises: ConfigError where there is none."""
    known = layer_names(network)
    if not known:
        raise ConfigError("Grad-CAM needs a convolution, and this network has none: choose another method")
    name = layer or next((own for own in reversed(known) if own.startswith("backbone.")), known[-1])
    if name not in known:
        there = ", ".join(known)
        raise ConfigError(f"no convolution {name!r} in this network; there are {there}.{suggest(name, known)}")
    return name


def grad_cam(model: Explained, frames: Tensor, chosen: Tensor, layer: str | None = None) -> Tensor:
    """Return the map of a convolution, weighted by its mean gradients, what is negative cut off: (B, 1, H, W).

    layer: name of a convolution, None: the last of the backbone. Its values are taken before the ReLU that follows it
    and works in place. Of an ensemble the maps of all networks are added.
    Source: Selvaraju et al. 2017, "Grad-CAM", eq. 1 and 2.
    Raises: ConfigError for a layer that does not exist, or that the number does not depend on.
    """
    name = checked_layer(model.network, layer)
    modules = parts(model.network, name)
    return in_batches(lambda x, c: _maps(model, modules, name, x, c), frames, chosen)


def _maps(model: Explained, modules: list[nn.Module], name: str, frames: Tensor, chosen: Tensor) -> Tensor:
    values: list[Tensor] = []

    def keep(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        # A convolution of frozen weights has an output without a gradient of its own.
        kept = output if output.requires_grad else output.detach().requires_grad_()
        values.append(kept)
        return kept.clone()  # for a ReLU in place, which would change what is kept

    handles = [module.register_forward_hook(keep) for module in modules]
    try:
        with torch.enable_grad():
            scores = model.scores(frames, chosen)
            found: tuple[Tensor | None, ...] = (None,) * len(values)
            if scores.requires_grad:
                found = torch.autograd.grad(scores.sum(), values, allow_unused=True)
    finally:
        for handle in handles:
            handle.remove()
    maps = torch.zeros(len(frames), 1, 1, 1)
    for value, gradients in zip(values, found, strict=False):
        if gradients is None:
            raise ConfigError(f"what is explained does not depend on the layer {name!r}: choose another")
        maps = maps + (gradients.mean((2, 3), keepdim=True) * value).sum(1, keepdim=True).detach()
    resized: Callable[..., Tensor] = F.interpolate
    return resized(maps.clamp(min=0), frames.shape[2:], mode="bilinear", align_corners=False)
