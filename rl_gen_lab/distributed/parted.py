"""Weights of which each process keeps a part: put together for evaluations and checkpoints, and parted again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.optim import Optimizer


@contextmanager
def whole_weights(network: nn.Module, whole: Callable[[Tensor], Tensor | None]) -> Iterator[None]:
    """Put whole weights into the places of parted ones for as long as the context is open.

    whole: returns the whole of a weight, None for one that is whole already; asked in the order of the network, in all
    processes alike.
    """
    parted: list[tuple[nn.Module, str, nn.Parameter]] = []
    wholes: dict[int, nn.Parameter | None] = {}  # a weight that two layers share is one weight
    for module in network.modules():
        for name, weight in module._parameters.items():
            if weight is None:
                continue
            if id(weight) not in wholes:
                found = whole(weight)
                wholes[id(weight)] = None if found is None else nn.Parameter(found, weight.requires_grad)
            if wholes[id(weight)] is not None:
                parted.append((module, name, weight))
    for module, name, weight in parted:
        setattr(module, name, wholes[id(weight)])  # recurrent layers keep a list of their own, which this changes too
    try:
        yield
    finally:
        for module, name, weight in parted:
            setattr(module, name, weight)


def full(weight: Tensor) -> Tensor | None:
    """Return a parted weight whole, gathered from all processes; None for one that each process has."""
    return cast(DTensor, weight.detach()).full_tensor() if isinstance(weight, DTensor) else None


def gathered(value: Any) -> Any:
    """Return parted tensors whole, also in dictionaries and lists; everything else as it is."""
    if isinstance(value, DTensor):
        return value.full_tensor()
    if isinstance(value, dict):
        return {key: gathered(item) for key, item in value.items()}
    if isinstance(value, list):
        return [gathered(item) for item in value]
    return value


def load_parts(network: nn.Module, state: dict[str, Any]) -> None:
    """Load whole weights into a network that is parted: each process keeps its part."""
    own = network.state_dict()
    network.load_state_dict({name: _part_of(tensor, own[name]) for name, tensor in state.items()})


def load_optimizer_parts(optimizer: Optimizer, state: dict[str, Any]) -> None:
    """Load an optimizer's whole state: each process keeps its part."""
    weights = weights_of(optimizer)
    parted = {
        number: {name: _part_of(value, weights[number]) for name, value in moments.items()}
        for number, moments in state["state"].items()
    }
    optimizer.load_state_dict(state | {"state": parted})


def weights_of(optimizer: Optimizer) -> list[Tensor]:
    """Return the weights of an optimizer by the numbers that its state has them under."""
    return [weight for group in optimizer.param_groups for weight in group["params"]]


def _part_of(value: Any, own: Tensor) -> Any:
    """Return this process' part of a whole tensor, as `own` is parted; other values as they are."""
    if not isinstance(own, DTensor) or not isinstance(value, Tensor) or value.shape != own.shape:
        return value
    return distribute_tensor(value.to(own.device), own.device_mesh, own.placements)


def bytes_here(tensors: Any) -> int:
    """Return the bytes that this process holds of tensors, which may be parted; other values have none."""
    if isinstance(tensors, DTensor):
        return bytes_here(tensors.to_local())
    if isinstance(tensors, Tensor):
        return 0 if tensors.is_meta else tensors.numel() * tensors.element_size()
    return sum(bytes_here(item) for item in (tensors.values() if isinstance(tensors, dict) else tensors))


def reported(network: nn.Module, optimizer: Optimizer) -> dict[str, float]:
    """Return the memory of this process' weights and of the optimizer's state for them [MiB]."""
    state = [value for moments in optimizer.state.values() for value in moments.values() if isinstance(value, Tensor)]
    found = {"parameters_mb": list(network.parameters()), "optimizer_mb": state}
    return {name: bytes_here(tensors) / 2**20 for name, tensors in found.items()}


def squared_norm(gradients: list[Tensor]) -> Tensor:
    """Return the squared Euclidean norm of all gradients together, a scalar float64 on the CPU; 0 for none."""
    if not gradients:
        return torch.zeros((), dtype=torch.float64)
    return nn.utils.get_total_norm(gradients).double().square().cpu()
