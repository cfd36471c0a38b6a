"""Layers of which each process computes some units, as styles of torch's `parallelize_module`.

Source: Shoeybi et al. 2019, "Megatron-LM", section 3.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Shard, distribute_tensor
from torch.distributed.tensor.parallel import ParallelStyle
from torch.nn import functional as F

from rl_gen_lab.distributed.group import Group


class _Enter(torch.autograd.Function):
    """What all processes have; backward, the sum of what their units found for it (Megatron's f)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, group: Group) -> Tensor:
        """x: of any shape, the same in all processes."""
        ctx.group = group
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        """Sum the gradients of all processes."""
        return _summed(gradients[0], ctx.group), None


class _Sum(torch.autograd.Function):
    """The sum over processes; backward, all have the gradient already (Megatron's g)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, group: Group) -> Tensor:
        """x: of any shape, the same in all processes."""
        return _summed(x, group)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        """Pass it on."""
        return gradients[0], None


class _Join(torch.autograd.Function):
    """The units of all processes, along the last dimension; backward, each takes the gradient of its own."""

    @staticmethod
    def forward(ctx: Any, own: Tensor, group: Group) -> Tensor:
        """own: (..., D / processes) -> (..., D)."""
        ctx.group = group
        return torch.cat(group.gather(own), -1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        """Cut out those of this process."""
        return gradients[0].chunk(ctx.group.size, -1)[ctx.group.ranks.rank], None


class _Cut(torch.autograd.Function):
    """The units of this process, along the last dimension; backward, the gradients of all are joined."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, group: Group) -> Tensor:
        """x: (..., D) -> (..., D / processes)."""
        ctx.group = group
        return x.chunk(group.size, -1)[group.ranks.rank].contiguous()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        """Join those of all processes."""
        return torch.cat(ctx.group.gather(gradients[0]), -1), None


def _summed(x: Tensor, group: Group) -> Tensor:
    total = x.contiguous().clone()
    with group.exchange():
        dist.all_reduce(total)
    return total


def _here(weight: Tensor) -> Tensor:
    """Return this process' part of a weight, with its gradient."""
    return weight.to_local() if isinstance(weight, DTensor) else weight


class Outputs(ParallelStyle):
    """Part a fully connected layer, or an embedding, by its outputs.

    torch's own `ColwiseParallel` and `RowwiseParallel` compute the same by asynchronous exchanges: on a CPU they took
    twice as long for layers as small as these, and once a process died of a segmentation fault.
    """

    def __init__(self, group: Group, joined: bool) -> None:
        """joined: whether each process gets the outputs of all, and not its own alone."""
        super().__init__()
        self.group, self.joined = group, joined

    def _apply(self, module: nn.Module, device_mesh: DeviceMesh) -> nn.Module:
        dimension = 1 if isinstance(module, nn.Embedding) else 0
        _part(module, device_mesh, {name: dimension for name, _ in module.named_parameters()})
        layer: Any = module

        def forward(x: Tensor) -> Tensor:
            if isinstance(module, nn.Embedding):
                own = F.embedding(x, _here(layer.weight), layer.padding_idx)
            else:
                bias = None if layer.bias is None else _here(layer.bias)
                own = F.linear(_Enter.apply(x, self.group), _here(layer.weight), bias)
            return _Join.apply(own, self.group) if self.joined else own

        module.forward = forward
        return module


class Inputs(ParallelStyle):
    """Part a fully connected layer by its inputs; what the processes find is summed."""

    def __init__(self, group: Group, cut: bool) -> None:
        """cut: whether each process is given the inputs of all, and not its own alone."""
        super().__init__()
        self.group, self.cut = group, cut

    def _apply(self, module: nn.Module, device_mesh: DeviceMesh) -> nn.Module:
        _part(module, device_mesh, {"weight": 1})
        layer: Any = module

        def forward(x: Tensor) -> Tensor:
            own = F.linear(_Cut.apply(x, self.group) if self.cut else x, _here(layer.weight))
            total: Tensor = _Sum.apply(own, self.group)
            return total if layer.bias is None else total + layer.bias

        module.forward = forward
        return module


class Gates(ParallelStyle):
    """Part the gates of a recurrent layer, which are joined after each product."""

    def __init__(self, group: Group) -> None:
        super().__init__()
        self.group = group

    def _apply(self, module: nn.Module, device_mesh: DeviceMesh) -> nn.Module:
        _part(module, device_mesh, {name: 0 for name, _ in module.named_parameters()})
        passes: dict[type[nn.Module], Any] = {nn.LSTMCell: self._cell, nn.LSTM: self._lstm, nn.GRU: self._gru}
        module.forward = partial(passes[type(module)], module)
        return module

    def _own(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Return this process' share of the gates, (..., G / processes). x: (..., D)."""
        return F.linear(_Enter.apply(x, self.group), _here(weight), _here(bias))

    def _cell(self, layer: Any, x: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        own = self._own(x, layer.weight_ih, layer.bias_ih) + self._own(state[0], layer.weight_hh, layer.bias_hh)
        return lstm_step(_Join.apply(own, self.group), state[1])

    def _lstm(
        self, layer: Any, x: Tensor, state: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        read, found = self._own(x, layer.weight_ih_l0, layer.bias_ih_l0), []
        hidden, cell = (x.new_zeros(len(x), layer.hidden_size),) * 2 if state is None else (state[0][0], state[1][0])
        for gates in read.unbind(1):
            own = gates + self._own(hidden, layer.weight_hh_l0, layer.bias_hh_l0)
            hidden, cell = lstm_step(_Join.apply(own, self.group), cell)
            found.append(hidden)
        return torch.stack(found, 1), (hidden[None], cell[None])

    def _gru(self, layer: Any, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        read, found = _Join.apply(self._own(x, layer.weight_ih_l0, layer.bias_ih_l0), self.group), []
        hidden = x.new_zeros(len(x), layer.hidden_size) if state is None else state[0]
        for gates in read.unbind(1):
            own = self._own(hidden, layer.weight_hh_l0, layer.bias_hh_l0)
            hidden = gru_step(gates, _Join.apply(own, self.group), hidden)
            found.append(hidden)
        return torch.stack(found, 1), hidden[None]


def lstm_step(gates: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """gates: (B, 4 D), of torch's order; cell: (B, D) -> hidden and cell, (B, D) each."""
    enter, forget, new, leave = gates.chunk(4, 1)
    cell = forget.sigmoid() * cell + enter.sigmoid() * new.tanh()
    return leave.sigmoid() * cell.tanh(), cell


def gru_step(read: Tensor, kept: Tensor, hidden: Tensor) -> Tensor:
    """read, kept: (B, 3 D), of the input and of the state, of torch's order; hidden: (B, D) -> hidden."""
    (reset, update, new), (reset_kept, update_kept, new_kept) = read.chunk(3, 1), kept.chunk(3, 1)
    candidate = (new + (reset + reset_kept).sigmoid() * new_kept).tanh()
    return candidate + (update + update_kept).sigmoid() * (hidden - candidate)


def _part(layer: nn.Module, mesh: DeviceMesh, dimensions: dict[str, int]) -> None:
    """Deal weights to the processes, each along a dimension."""
    for name, dimension in dimensions.items():
        weight: nn.Parameter = getattr(layer, name)
        parted = distribute_tensor(weight.detach(), mesh, [Shard(dimension)])
        setattr(layer, name, nn.Parameter(parted, weight.requires_grad))
