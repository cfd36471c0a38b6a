"""Data parallel training: each process learns from its slice of the batch, and gradients are averaged.

`Replicas` keeps the whole network in each process; `Shards` keeps a part of each weight and of the optimizer's state,
and gathers the weights while it computes with them. Source: Li et al. 2020, "PyTorch Distributed"; Zhao et al. 2023,
"PyTorch FSDP".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from rl_gen_lab.distributed.group import Group
from rl_gen_lab.distributed.parted import full, gathered, load_optimizer_parts, load_parts, whole_weights

Losses = Callable[[Any, Tensor], dict[str, Tensor]]


class DataParallel(Protocol):
    """How the processes of a supervised training share the work."""

    group: Group

    @property
    def one_stream(self) -> bool:
        """Whether random numbers are drawn as by a single process, so that the last process' generator is the run's."""

    def losses(self, split: Any, indices: Tensor) -> dict[str, Tensor]:
        """Compute the losses of a batch (B,) int64, of which this process takes its slice."""

    def backward(self, loss: Tensor) -> None:
        """Compute the gradients of the loss that `losses` returned, unless it has done so."""

    def clip(self, limit: float) -> Tensor:
        """Scale the gradients of all processes together to a norm of at most `limit`; return their norm, a scalar."""

    def whole(self) -> Any:
        """Return a context in which the network can be used and saved as in a single process."""

    def load_network(self, state: dict[str, Any]) -> None:
        """Load weights that were saved within `whole`."""

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        """Return the optimizer's state as a single process has it."""

    def load_optimizer(self, optimizer: Optimizer, state: dict[str, Any]) -> None:
        """Load what `optimizer_state` returned."""


class _LossModule(nn.Module):
    """The network behind the loss: all passes of an update are one `forward`, which the wrappers watch.

    A pass beside it would silently leave out the exchange.
    """

    def __init__(self, network: nn.Module, losses: Losses) -> None:
        super().__init__()
        self.network = network
        self._losses = losses

    def forward(self, split: Any, indices: Tensor, weight: float) -> dict[str, Tensor]:
        losses = self._losses(split, indices)
        return losses | {"loss": losses["loss"] * weight} if weight != 1 else losses


def slice_of(indices: Tensor, rank: int, size: int) -> tuple[Tensor, float]:
    """Return this process' share of a batch (B,), and the weight that makes the mean over processes that over images.

    Where a last batch has fewer images than processes, some take its first one with weight 0.
    """
    mine = indices[rank::size]
    return (mine, len(mine) * size / len(indices)) if len(mine) else (indices[:1], 0.0)


class Replicas:
    """Each process has the whole network; torch's DDP averages the gradients while they are computed."""

    one_stream = False

    def __init__(self, group: Group, network: nn.Module, losses: Losses) -> None:
        """network: equal in all processes from here on, that of the first."""
        self.group, self.network = group, network
        self._forward: Any = _LossModule(network, losses)
        self._norms = [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
        if group.size > 1 and any(weight.requires_grad for weight in network.parameters()):
            # Detectors have parts that get no gradient from images without objects.
            with group.exchange():
                self._forward = DistributedDataParallel(
                    self._forward, find_unused_parameters=True, forward_sync_buffers=False
                )

    def losses(self, split: Any, indices: Tensor) -> dict[str, Tensor]:
        """Compute the losses of a batch (B,) int64, of which this process takes its slice."""
        mine, weight = slice_of(indices, self.group.ranks.rank, self.group.size)
        return cast(dict[str, Tensor], self._forward(split, mine, weight))

    @contextmanager
    def whole(self) -> Iterator[None]:
        """Average the running moments of batch normalization, which each process has of its own images."""
        moments = [moment for norm in self._norms for moment in (norm.running_mean, norm.running_var)]
        self.group.mean_([moment for moment in moments if moment is not None])
        yield

    def backward(self, loss: Tensor) -> None:
        """Compute the gradients, averaged over the processes."""
        loss.backward()

    def clip(self, limit: float) -> Tensor:
        """Scale the gradients where their norm is above a limit; return the norm, a scalar."""
        return nn.utils.clip_grad_norm_(self.network.parameters(), limit)

    def load_network(self, state: dict[str, Any]) -> None:
        """Load weights that were saved within `whole`."""
        self.network.load_state_dict(state)

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        """Return the optimizer's state, which is the same in all processes."""
        return optimizer.state_dict()

    def load_optimizer(self, optimizer: Optimizer, state: dict[str, Any]) -> None:
        """Load what `optimizer_state` returned."""
        optimizer.load_state_dict(state)


class Shards:
    """Each process keeps a part of every weight and of the optimizer's state for it (FSDP2)."""

    one_stream = False

    def __init__(self, group: Group, network: nn.Module, losses: Losses, device: torch.device) -> None:
        """network: sharded from here on; make the optimizer of its parameters after this."""
        self.group, self.network = group, network
        group.copy_([*network.parameters(), *network.buffers()])
        self._forward: nn.Module = _LossModule(network, losses)
        # Parted as one piece: models call their parts by other methods than `forward`, where none would be gathered.
        fully_shard(self._forward, mesh=init_device_mesh(device.type, (group.size,)))

    def losses(self, split: Any, indices: Tensor) -> dict[str, Tensor]:
        """Compute the losses of a batch (B,) int64, of which this process takes its slice."""
        mine, weight = slice_of(indices, self.group.ranks.rank, self.group.size)
        return cast(dict[str, Tensor], self._forward(split, mine, weight))

    @contextmanager
    def whole(self) -> Iterator[None]:
        """Gather all weights; they are parted again at the end."""
        cast(FSDPModule, self._forward).reshard()
        with whole_weights(self.network, full):
            yield

    def backward(self, loss: Tensor) -> None:
        """Compute the gradients, averaged over the processes, of which each keeps its part."""
        loss.backward()

    def clip(self, limit: float) -> Tensor:
        """Scale the gradients where their norm is above a limit; return the norm, a scalar."""
        return cast(Tensor, gathered(nn.utils.clip_grad_norm_(self.network.parameters(), limit)))

    def load_network(self, state: dict[str, Any]) -> None:
        """Load whole weights: each process keeps its part."""
        load_parts(self.network, state)

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        """Return the optimizer's state, gathered, as a single process has it."""
        return cast(dict[str, Any], gathered(optimizer.state_dict()))

    def load_optimizer(self, optimizer: Optimizer, state: dict[str, Any]) -> None:
        """Load a whole state: each process keeps its part."""
        load_optimizer_parts(optimizer, state)
