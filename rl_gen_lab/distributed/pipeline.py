"""Pipeline parallel: the first processes compute the convolutions of a backbone, the last all that follows.

A batch goes through in parts, so that the stages work at the same time on different ones; gradients are the sums over
the parts, and each process keeps the weights and the optimizer's state of its stage alone.
Source: Huang et al. 2019, "GPipe"; Narayanan et al. 2019, "PipeDream" (one forward, one backward); torch's
`torch.distributed.pipelining`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.distributed.pipelining import PipelineStage, Schedule1F1B, ScheduleGPipe
from torch.optim import Optimizer

from rl_gen_lab.backbones.convolutional import Convolutional
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.distributed.group import Group
from rl_gen_lab.distributed.parted import squared_norm, weights_of, whole_weights

Losses = Callable[[Any, Tensor], dict[str, Tensor]]


@runtime_checkable
class LearnsInParts(Protocol):
    """A task whose loss is no mean over images, so that a batch is more than its parts."""

    def losses_of_parts(self, split: Any, indices: Tensor, images: int) -> list[Callable[[], dict[str, Tensor]]]:
        """Return what computes the losses of each `images` images of a batch; their means are those of the batch."""


class _Front(nn.Module):
    """Some layers of a backbone, from images or a map to a map in float32, which is what travels."""

    def __init__(self, layers: nn.Module) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x)
        return out.float()


def cuts_of(backbone: Convolutional, stages: int) -> list[int]:
    """Return where the layers of a backbone are cut for so many stages, from 0 to their number: stages + 1 numbers.

    The cuts lie after feature maps, so that the stages have about equally many weights. Raises: ConfigError where there
    are not as many maps.
    """
    places = [index + 1 for index in backbone.strides]
    if stages > len(places):
        raise ConfigError(
            f"--parallel pipeline: a backbone of {len(places)} feature maps is cut into at most {len(places)} stages;"
            f" use from 2 to {len(places) + 1} processes"
        )
    weights = [sum(weight.numel() for weight in layer.parameters()) for layer in backbone.conv]
    cuts = [0]
    for stage in range(1, stages):
        free = [place for place in places[:-1] if place > cuts[-1]]
        free = free[: len(free) - (stages - 1 - stage)]  # the later stages need a map each
        wanted = sum(weights) * stage / stages
        cuts.append(min(free, key=lambda place: abs(sum(weights[:place]) - wanted)))
    return [*cuts, len(backbone.conv)]


def parts_of(images: int, wanted: int) -> int:
    """Return into how many equal parts a batch is cut: the largest divisor that is not above the wanted number."""
    return max(parts for parts in range(1, min(images, wanted) + 1) if images % parts == 0)


class Stages:
    """Each process has a stage of the network; a way to share a training as those of `data_parallel`.

    The network must read images by the last map of `backbone.maps` alone. Weights of other stages are placeholders
    without memory.
    """

    one_stream = True

    def __init__(self, group: Group, network: nn.Module, task: Any, parts: int, device: torch.device) -> None:
        """task: has the loss; parts: of a batch, at most. Make the optimizer of the network's parameters after this.

        Raises: ConfigError for a network that cannot be cut, or a first stage that does not learn.
        """
        self.group, self.network, self._task, self._parts_wanted, self._device = group, network, task, parts, device
        self._rank, self._last = group.ranks.rank, group.size - 1
        self._backbone = next(module for module in network.modules() if isinstance(module, Convolutional))
        self._cuts = cuts_of(self._backbone, self._last)
        fronts = [self._backbone.conv[start:end] for start, end in zip(self._cuts, self._cuts[1:], strict=False)]
        if not all(any(weight.requires_grad for weight in front.parameters()) for front in fronts):
            raise ConfigError("--parallel pipeline: a stage of a frozen backbone learns nothing; use --parallel data")
        group.copy_([*network.parameters(), *network.buffers()])
        self._stage = _Front(fronts[self._rank]) if self._rank < self._last else nn.Identity()
        owners = {id(weight): rank for rank, front in enumerate(fronts) for weight in front.parameters()}
        self._buffers = {id(buffer): rank for rank, front in enumerate(fronts) for buffer in front.buffers()}
        # what the loss counts (updates) lies in the last stage; it counts once an update, not once a part
        self._counters = [b for b in network.buffers() if id(b) not in self._buffers and not b.is_floating_point()]
        self._owner: dict[int, int] = {}
        self._let_go(owners)
        self._schedules: dict[tuple[int, int], Schedule1F1B | ScheduleGPipe] = {}
        self._losses_of_parts: list[Callable[[], dict[str, Tensor]]] = []
        self._found: list[dict[str, Tensor]] = []
        self._before: list[Tensor] = []
        self._names: list[str] = []

    def _let_go(self, owners: dict[int, int]) -> None:
        """Replace the weights of other stages by placeholders; remember the owner of each."""
        placeholders: dict[int, nn.Parameter] = {}
        for module in self.network.modules():
            for name, weight in list(module._parameters.items()):
                if weight is None:
                    continue
                owner = owners.get(id(weight), self._last)
                kept = weight
                if owner != self._rank:
                    empty = torch.empty_like(weight, device="meta")
                    kept = placeholders.setdefault(id(weight), nn.Parameter(empty, weight.requires_grad))
                    setattr(module, name, kept)
                self._owner[id(kept)] = owner
        self._kept = list(self.network.parameters())  # alive, so that their ids are their own

    def losses(self, split: Any, indices: Tensor) -> dict[str, Tensor]:
        """Compute the losses of a batch (B,) int64 and all gradients: the stages cannot do one without the other."""
        parts = parts_of(len(indices), self._parts_wanted)
        images = len(indices) // parts
        schedule = self._schedule(split, parts, images)
        if self._rank == 0:
            schedule.step(split.images[indices].to(self._device), return_outputs=False)
        elif self._rank < self._last:
            schedule.step(return_outputs=False)
        else:
            self._losses_of_parts, self._found = self._prepared(split, indices, images), []
            self._before = [counter.clone() for counter in self._counters]
            schedule.step(target=torch.arange(parts), losses=[], return_outputs=False)
        return self._of_all()

    def _prepared(self, split: Any, indices: Tensor, images: int) -> list[Callable[[], dict[str, Tensor]]]:
        if isinstance(self._task, LearnsInParts):
            return self._task.losses_of_parts(split, indices, images)
        return [partial(self._task.loss, split, part) for part in indices.split(images)]

    def _schedule(self, split: Any, parts: int, images: int) -> Schedule1F1B | ScheduleGPipe:
        """Return the schedule for a batch; torch fixes the shape of what travels, and a last batch may be smaller."""
        if (parts, images) not in self._schedules:
            before, after = self._map(split, self._rank, images), self._map(split, self._rank + 1, images)
            stage = PipelineStage(
                self._stage, self._rank, self.group.size, self._device, input_args=before, output_args=after
            )
            kind = Schedule1F1B if parts >= self.group.size else ScheduleGPipe
            self._schedules[parts, images] = kind(stage, parts, loss_fn=self._loss, scale_grads=False)
        return self._schedules[parts, images]

    def _map(self, split: Any, stage: int, images: int) -> Tensor:
        """Return an example, without memory, of what a stage is given; behind the last one it is the same."""
        if stage == 0:
            return torch.empty(images, *split.images.shape[1:], dtype=split.images.dtype, device="meta")
        end = self._cuts[min(stage, self._last)] - 1
        shape = self._backbone.feature_maps[list(self._backbone.strides).index(end)]
        size = (images, shape.channels, shape.height, shape.width)
        return torch.empty(size, dtype=torch.float32, device="meta", requires_grad=True)

    def _loss(self, features: Tensor, part: Tensor) -> Tensor:
        """Compute the loss of a part of the batch from the last map of its images."""
        for counter, before in zip(self._counters, self._before, strict=True):
            counter.copy_(before)
        self._backbone.maps = lambda frames: [features]  # type: ignore[method-assign]
        try:
            losses = self._losses_of_parts[int(part)]()
        finally:
            del self._backbone.maps
        self._found.append({name: value.detach() for name, value in losses.items()})
        # torch would divide the gradients, but only those of the stage's own module, which this stage has none of
        return losses["loss"] / len(self._losses_of_parts)

    def _of_all(self) -> dict[str, Tensor]:
        """Return the means of the losses over the parts, which the last process has, in all processes."""
        if not self._names:
            self._names = self.group.texts(",".join(self._found[0]) if self._found else "")[-1].split(",")
        parts = [[float(found[name]) for name in self._names] for found in self._found]
        own = torch.tensor(parts or [[0.0] * len(self._names)], dtype=torch.float64).mean(0)
        return dict(zip(self._names, self.group.gather(own)[-1].float().unbind(), strict=True))

    def backward(self, loss: Tensor) -> None:
        """Do nothing: `losses` has computed the gradients."""

    def clip(self, limit: float) -> Tensor:
        """Scale the gradients where the norm of all stages together is above a limit; return the norm, a scalar."""
        gradients = [weight.grad for weight in self.network.parameters() if weight.grad is not None]
        norm = self.group.total(float(squared_norm(gradients))) ** 0.5
        for gradient in gradients:
            gradient.mul_(min(limit / (norm + 1e-6), 1.0))
        return torch.tensor(norm)

    @contextmanager
    def whole(self) -> Iterator[None]:
        """Copy all weights to all processes; those of other stages are let go at the end."""
        for buffer in self.network.buffers():
            self.group.copy_([buffer], self._buffers.get(id(buffer), self._last))
        with whole_weights(self.network, self._whole):
            yield

    def _whole(self, weight: Tensor) -> Tensor | None:
        found = torch.empty_like(weight, device=self._device) if weight.is_meta else weight
        self.group.copy_([found], self._owner[id(weight)])
        return found if weight.is_meta else None

    def load_network(self, state: dict[str, Any]) -> None:
        """Load whole weights: each process keeps those of its stage."""
        own = {name for name, tensor in self.network.state_dict().items() if not tensor.is_meta}
        self.network.load_state_dict({name: state[name] for name in state if name in own}, strict=False)

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        """Return the optimizer's state of all stages, as a single process has it."""
        own = optimizer.state_dict()
        on_cpu = {
            number: {name: _on_cpu(value) for name, value in moments.items()}
            for number, moments in own["state"].items()
        }
        merged: dict[int, Any] = {}
        for state in self.group.objects(on_cpu):
            merged |= state
        return own | {"state": dict(sorted(merged.items()))}

    def load_optimizer(self, optimizer: Optimizer, state: dict[str, Any]) -> None:
        """Load a whole state: each process keeps that of its stage."""
        weights = weights_of(optimizer)
        own = {number: moments for number, moments in state["state"].items() if not weights[number].is_meta}
        optimizer.load_state_dict(state | {"state": own})


def _on_cpu(value: Any) -> Any:
    return value.cpu() if isinstance(value, Tensor) else value
