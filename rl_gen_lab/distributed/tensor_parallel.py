"""Tensor parallel: each process computes some units of every fully connected, attention and recurrent layer.

A layer is parted by its outputs or by its inputs. Of two layers with nothing but an activation between them the first
is parted by outputs and the second by inputs, so that one exchange serves both; so are attention's keys, queries and
scores. Everything else, convolutions above all, is whole in each process, which computes it from the same images.
Source: Shoeybi et al. 2019, "Megatron-LM", section 3; torch's `parallelize_module`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Shard
from torch.distributed.tensor.parallel import ParallelStyle, parallelize_module
from torch.optim import Optimizer

from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.distributed.group import Group
from rl_gen_lab.distributed.parted import (
    full,
    gathered,
    load_optimizer_parts,
    load_parts,
    squared_norm,
    whole_weights,
)
from rl_gen_lab.distributed.tensor_layers import Gates, Inputs, Outputs

Losses = Callable[[Any, Tensor], dict[str, Tensor]]
Pair = tuple[tuple[str, ...], str]  # layers parted by outputs, and the one that reads them, parted by inputs
ACTIVATIONS = (nn.ReLU, nn.LeakyReLU, nn.ELU, nn.Sigmoid, nn.Tanh, nn.GELU, nn.Identity)


def _is_recurrent(layer: nn.Module) -> bool:
    if isinstance(layer, nn.LSTM | nn.GRU):
        return layer.batch_first and layer.num_layers == 1 and not layer.bidirectional and layer.bias
    return isinstance(layer, nn.LSTMCell) and layer.bias


def _pairs(module: nn.Module) -> Iterator[Pair]:
    """Yield the pairs of layers among the children of a module; a network names those it computes with itself."""
    yield from getattr(module, "unit_pairs", ())
    if isinstance(module, nn.Sequential):
        layers = [(name, layer) for name, layer in module.named_children() if not isinstance(layer, ACTIVATIONS)]
        taken = ""
        for (before, first), (after, second) in pairwise(layers):
            if before != taken and type(first) is type(second) is nn.Linear:
                taken = after
                yield (before,), after


def plan_of(network: nn.Module, group: Group) -> dict[str, ParallelStyle]:
    """Return how the layers of a network are dealt to the processes, by name; the others stay whole.

    A layer whose inputs and outputs cannot be dealt equally stays whole, and so does one that does not learn.
    """
    plan: dict[str, ParallelStyle] = {}
    size = group.size
    modules = {name: module for name, module in network.named_modules() if _learns(module)}
    for parent, module in modules.items():
        for outputs, inputs in _pairs(module):
            names = [f"{parent}.{name}" if parent else name for name in (*outputs, inputs)]
            if all(name in modules for name in names) and cast(Any, modules[names[-1]]).in_features % size == 0:
                plan |= {name: Outputs(group, joined=False) for name in names[:-1]}
                plan[names[-1]] = Inputs(group, cut=False)
    for name, layer in modules.items():
        if name in plan:
            continue
        if type(layer) is nn.Linear:
            inputs_fit, outputs_fit = layer.in_features % size == 0, layer.out_features % size == 0
            if inputs_fit and (layer.in_features > layer.out_features or not outputs_fit):  # exchange the fewer
                plan[name] = Inputs(group, cut=True)
            elif outputs_fit:
                plan[name] = Outputs(group, joined=True)
        elif type(layer) is nn.Embedding and layer.embedding_dim % size == 0:
            plan[name] = Outputs(group, joined=True)
        elif _is_recurrent(layer) and cast(Any, layer).hidden_size % size == 0:
            plan[name] = Gates(group)
    return plan


def _learns(module: nn.Module) -> bool:
    return any(weight.requires_grad for weight in module.parameters())


class Units:
    """Each process has some units of the layers; a way to share a training as those of `data_parallel`.

    All processes learn from the same images with the same random numbers, and find the same loss.
    """

    one_stream = True

    def __init__(self, group: Group, network: nn.Module, losses: Losses, device: torch.device) -> None:
        """network: parted from here on; make the optimizer of its parameters after this.

        Raises: ConfigError for a network that has nothing to part.
        """
        self.group, self.network, self._losses = group, network, losses
        plan = plan_of(network, group)
        if not plan:
            raise ConfigError(
                f"--parallel tensor: no fully connected, attention or recurrent layer of this network can be dealt to"
                f" {group.size} processes; use --parallel data, with --fsdp where memory is short"
            )
        group.copy_([*network.parameters(), *network.buffers()])
        parallelize_module(network, init_device_mesh(device.type, (group.size,)), plan)
        self._layers = [network.get_submodule(name) for name in plan]

    def losses(self, split: Any, indices: Tensor) -> dict[str, Tensor]:
        """Compute the losses of a batch (B,) int64, which is the same in all processes."""
        return self._losses(split, indices)

    def backward(self, loss: Tensor) -> None:
        """Compute the gradients, each process those of its units."""
        loss.backward()

    def clip(self, limit: float) -> Tensor:
        """Scale the gradients where their norm is above a limit; return the norm, a scalar."""
        weights = [weight for weight in self.network.parameters() if weight.grad is not None]
        parted = [weight for weight in weights if _is_parted(weight)]
        common = [weight for weight in weights if not _is_parted(weight)]
        own = squared_norm([_local(weight.grad) for weight in parted])
        total = self.group.total(float(own)) + float(squared_norm([_local(weight.grad) for weight in common]))
        norm = torch.tensor(total).sqrt()
        for weight in weights:  # torch's own clipping refuses a mixture of parted and common weights
            _local(weight.grad).mul_(min(limit / (float(norm) + 1e-6), 1.0))
        return norm

    @contextmanager
    def whole(self) -> Iterator[None]:
        """Gather all weights, and compute with them as in a single process; they are parted again at the end."""
        parted = [(layer, layer.__dict__.pop("forward")) for layer in self._layers]
        try:
            with whole_weights(self.network, full):
                yield
        finally:
            for layer, forward in parted:
                layer.forward = forward

    def load_network(self, state: dict[str, Any]) -> None:
        """Load whole weights: each process keeps its part."""
        load_parts(self.network, state)

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        """Return the optimizer's state, gathered, as a single process has it."""
        return cast(dict[str, Any], gathered(optimizer.state_dict()))

    def load_optimizer(self, optimizer: Optimizer, state: dict[str, Any]) -> None:
        """Load a whole state: each process keeps its part."""
        load_optimizer_parts(optimizer, state)


def _is_parted(weight: Tensor) -> bool:
    return isinstance(weight, DTensor) and any(isinstance(placed, Shard) for placed in weight.placements)


def _local(gradient: Tensor | None) -> Tensor:
    assert gradient is not None
    return gradient.to_local() if isinstance(gradient, DTensor) else gradient
