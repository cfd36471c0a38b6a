"""Spatial parallel: each process computes some rows of every image, and exchanges the rows at the borders.

A convolution needs a few rows of its neighbors (a halo), a normalization the sums over all rows. All else is local.
What comes out, and every gradient, is that of the whole image; each process holds the activations of its rows alone.
Source: Dryden et al. 2019, "Improving Strong-Scaling of CNN Training by Exploiting Finer-Grained Parallelism".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from rl_gen_lab.backbones.blocks import DropPath, Scale
from rl_gen_lab.backbones.convolutional import ScaledConv2d
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.distributed.group import Group

Losses = Callable[[Any, Tensor], dict[str, Tensor]]
LOCAL = (nn.ReLU, nn.LeakyReLU, nn.ELU, nn.Sigmoid, nn.Tanh, nn.GELU, nn.Identity, nn.Dropout, Scale)


@dataclass(frozen=True)
class Place:
    """Where this process' rows lie: the processes above and below, None at the border of the image."""

    group: Group

    @property
    def above(self) -> int | None:
        """The rank of the process with the rows above."""
        return self.group.ranks.rank - 1 if self.group.ranks.rank else None

    @property
    def below(self) -> int | None:
        """The rank of the process with the rows below."""
        return self.group.ranks.rank + 1 if self.group.ranks.rank + 1 < self.group.size else None


def bounds_of(height: int, size: int, multiple: int) -> list[int]:
    """Return size + 1 borders between the rows of the processes: multiples, but for the last.

    Raises: ConfigError where a process would have no rows.
    """
    units = height // multiple
    if units < size:
        raise ConfigError(
            f"images of {height} rows cannot be dealt to {size} processes in multiples of {multiple} rows, which the"
            f" network halves into whole ones: use at most {max(units, 1)}"
        )
    return [units * rank // size * multiple for rank in range(size)] + [height]


class _Halo(torch.autograd.Function):
    """Rows of the neighbors around one's own; backward, their gradients go home."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, top: int, bottom: int, fill: float, place: Place) -> Tensor:
        """x: (B, C, h, W) -> (B, C, top + h + bottom, W); `fill` beyond the image."""
        ctx.sizes, ctx.place = (top, bottom), place
        below = x[:, :, :bottom] if bottom else None  # what the process above needs of this one
        above = x[:, :, x.shape[2] - top :] if top else None
        from_above, from_below = _swap(x, below, above, top, bottom, place)
        rows = [from_above, x, from_below]
        if from_above is None and top:
            rows[0] = x.new_full((*x.shape[:2], top, x.shape[3]), fill)
        if from_below is None and bottom:
            rows[2] = x.new_full((*x.shape[:2], bottom, x.shape[3]), fill)
        return torch.cat([row for row in rows if row is not None], 2)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        """Add to one's own rows what the neighbors found for them."""
        (gradient,), (top, bottom) = gradients, ctx.sizes
        end = gradient.shape[2] - bottom
        own = gradient[:, :, top:end].clone()
        to_above = gradient[:, :, :top] if top else None
        to_below = gradient[:, :, end:] if bottom else None
        # The one above gets what was found for its last `top` rows, and gives what it found for the first `bottom`.
        from_above, from_below = _swap(own, to_above, to_below, bottom, top, ctx.place)
        if from_above is not None:
            own[:, :, :bottom] += from_above
        if from_below is not None:
            own[:, :, own.shape[2] - top :] += from_below
        return own, None, None, None, None


def _swap(
    x: Tensor, to_above: Tensor | None, to_below: Tensor | None, rows_above: int, rows_below: int, place: Place
) -> tuple[Tensor | None, Tensor | None]:
    """Send rows to the neighbors, and return theirs: (from above, from below), None beyond the image."""
    waits, found = [], []
    for other, out, rows in ((place.above, to_above, rows_above), (place.below, to_below, rows_below)):
        space = x.new_empty((*x.shape[:2], rows, x.shape[3])) if other is not None and rows else None
        found.append(space)
        if other is not None and out is not None:
            waits.append(dist.isend(out.contiguous(), other))
        if other is not None and space is not None:
            waits.append(dist.irecv(space, other))
    with place.group.exchange():
        for wait in waits:
            if wait is not None:
                wait.wait()
    return found[0], found[1]


class _Sum(torch.autograd.Function):
    """The sum over processes; backward, the sum of their gradients."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, place: Place) -> Tensor:
        """x: of any shape, the same in all processes."""
        ctx.place = place
        total = x.contiguous().clone()
        with place.group.exchange():
            dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        """Each process' share moves the results of all."""
        total = gradients[0].contiguous().clone()
        with ctx.place.group.exchange():
            dist.all_reduce(total)
        return total, None


class _Gather(torch.autograd.Function):
    """The rows of all processes; backward, each takes the gradient of its own, as all compute the same loss."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, heights: list[int], place: Place) -> Tensor:
        """x: (B, C, h, W) -> (B, C, sum of heights, W)."""
        rank = place.group.ranks.rank
        ctx.start, ctx.rows = sum(heights[:rank]), heights[rank]
        padded = F.pad(x, (0, 0, 0, max(heights) - x.shape[2]))
        parts = place.group.gather(padded)
        return torch.cat([part[:, :, :rows] for part, rows in zip(parts, heights, strict=True)], 2)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        """Cut out the rows of this process."""
        return gradients[0][:, :, ctx.start : ctx.start + ctx.rows], None, None


def _with_halo(x: Tensor, kernel: int, stride: int, padding: int, fill: float, place: Place) -> Tensor:
    """Return x with the rows that a window of `kernel` rows needs; the last process pads as the whole image is."""
    bottom = padding if place.below is None else max(kernel - stride - padding, 0)
    # Both sides of a border exchange the same number of rows; beyond the last process there is nothing to exchange.
    between = max(kernel - stride - padding, 0)
    extended: Tensor = _Halo.apply(x, padding, between, fill, place)
    if place.below is None and bottom != between:
        extended = F.pad(extended, (0, 0, 0, bottom - between), value=fill)
    return extended


def _convolve(conv: nn.Conv2d, place: Place, start: Callable[[], int]) -> Callable[[Tensor], Tensor]:
    assert not isinstance(conv.padding, str)
    (kernel, _), (stride, _), (padding, across) = conv.kernel_size, conv.stride, conv.padding

    def forward(x: Tensor) -> Tensor:
        weight = conv.weight
        if isinstance(conv, ScaledConv2d):
            mean = conv.mean[:, start() : start() + x.shape[2]]
            x, weight = x.to(weight.dtype) - mean, weight * conv.scale
        x = _with_halo(x, kernel, stride, int(padding), 0.0, place)
        return F.conv2d(x, weight, conv.bias, conv.stride, (0, int(across)), conv.dilation, conv.groups)

    return forward


def _pool(pool: nn.MaxPool2d, place: Place) -> Callable[[Tensor], Tensor]:
    kernel, stride, padding = int(pool.kernel_size), int(pool.stride), int(pool.padding)  # type: ignore[arg-type]

    def forward(x: Tensor) -> Tensor:
        x = _with_halo(x, kernel, stride, padding, -torch.inf, place)
        return F.max_pool2d(x, kernel, stride, (0, padding))

    return forward


def _moments(x: Tensor, place: Place) -> tuple[Tensor, Tensor, Tensor]:
    """Return mean and variance of x (..., n) over its last dimension in all processes together, and the count (...)."""
    sums = torch.stack([x.sum(-1), x.new_full(x.shape[:-1], x.shape[-1])])
    total: Tensor = _Sum.apply(sums, place)
    mean = total[0] / total[1]
    squares: Tensor = _Sum.apply((x - mean[..., None]).square().sum(-1), place)
    return mean, squares / total[1], total[1].detach()


def _normalize_groups(norm: nn.GroupNorm, place: Place) -> Callable[[Tensor], Tensor]:
    def forward(x: Tensor) -> Tensor:
        grouped = x.reshape(x.shape[0], norm.num_groups, -1)
        mean, variance, _ = _moments(grouped, place)
        y = ((grouped - mean[..., None]) * torch.rsqrt(variance + norm.eps)[..., None]).view_as(x)
        return y * norm.weight[:, None, None] + norm.bias[:, None, None]

    return forward


def _normalize_batch(norm: nn.BatchNorm2d, place: Place) -> Callable[[Tensor], Tensor]:
    """Normalize as in training, and update the running moments."""

    def forward(x: Tensor) -> Tensor:
        mean, variance, count = _moments(x.movedim(1, 0).flatten(1), place)
        with torch.no_grad():
            assert norm.running_mean is not None and norm.running_var is not None
            assert norm.num_batches_tracked is not None and norm.momentum is not None
            norm.running_mean.lerp_(mean, norm.momentum)
            norm.running_var.lerp_(variance * count / (count - 1), norm.momentum)
            norm.num_batches_tracked += 1
        scale = norm.weight * torch.rsqrt(variance + norm.eps)
        return (x - mean[:, None, None]) * scale[:, None, None] + norm.bias[:, None, None]

    return forward


class Rows:
    """Each process computes its rows of every image; a way to share a training as those of `data_parallel`.

    The logits are gathered, so the loss is computed from whole images in every process.
    """

    one_stream = False

    def __init__(self, group: Group, network: nn.Module, losses: Losses, multiple: int) -> None:
        """network: from images (B, C, H, W) to a map of as many rows; multiple: its total stride.

        Raises: ConfigError for a network with parts that need more than the rows next to theirs.
        """
        self.group, self.network, self._losses, self._multiple = group, network, losses, multiple
        self._place, self._start = Place(group), 0
        group.copy_([*network.parameters(), *network.buffers()])
        self._whole = {module: module.forward for module in network.modules()}
        self._split = self._split_forwards()
        for weight in network.parameters():
            if weight.requires_grad:  # of each process' rows: the gradient of the whole image is the sum
                weight.register_post_accumulate_grad_hook(self._sum_gradient)

    def _split_forwards(self) -> dict[nn.Module, Callable[..., Tensor]]:
        found: dict[nn.Module, Callable[..., Tensor]] = {self.network: self._by_rows}
        for name, module in self.network.named_modules():
            if isinstance(module, nn.Conv2d) and set(module.dilation) == {1} and module.padding_mode == "zeros":
                found[module] = _convolve(module, self._place, lambda: self._start)
            elif isinstance(module, nn.MaxPool2d) and not module.ceil_mode and module.dilation == 1:
                found[module] = _pool(module, self._place)
            elif isinstance(module, nn.GroupNorm):
                found[module] = _normalize_groups(module, self._place)
            elif isinstance(module, nn.BatchNorm2d):
                found[module] = _normalize_batch(module, self._place)
            elif isinstance(module, nn.ConvTranspose2d) and module.kernel_size == module.stride:
                continue  # each row makes rows of its own
            elif isinstance(module, DropPath) and module.rate == 0:
                continue  # else the processes would leave out paths of different images
            elif not list(module.children()) and not isinstance(module, LOCAL):
                what = type(module).__name__
                raise ConfigError(f"{name} ({what}) cannot be computed by rows")
        return found

    def _by_rows(self, images: Tensor) -> Tensor:
        bounds, rank = bounds_of(images.shape[2], self.group.size, self._multiple), self.group.ranks.rank
        self._start = bounds[rank]
        logits = self._whole[self.network](images[:, :, bounds[rank] : bounds[rank + 1]])
        heights = [end - start for start, end in pairwise(bounds)]
        gathered: Tensor = _Gather.apply(logits, heights, self._place)
        return gathered

    def _sum_gradient(self, weight: Tensor) -> None:
        assert weight.grad is not None
        with self.group.exchange():
            dist.all_reduce(weight.grad)

    def losses(self, split: Any, indices: Tensor) -> dict[str, Tensor]:
        """Compute the losses of a batch (B,) int64, which is the same in all processes."""
        for module, forward in self._split.items():
            module.forward = forward
        try:
            return self._losses(split, indices)
        finally:
            for module in self._split:
                module.forward = self._whole[module]

    @contextmanager
    def whole(self) -> Iterator[None]:
        """Nothing is parted but the activations of an update."""
        yield

    def backward(self, loss: Tensor) -> None:
        """Compute the gradients, each process those of its rows, which are summed."""
        loss.backward()

    def clip(self, limit: float) -> Tensor:
        """Scale the gradients where their norm is above a limit; return the norm, a scalar."""
        return nn.utils.clip_grad_norm_(self.network.parameters(), limit)

    def load_network(self, state: dict[str, Any]) -> None:
        """Load weights."""
        self.network.load_state_dict(state)

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        """Return the optimizer's state, which is the same in all processes."""
        return optimizer.state_dict()

    def load_optimizer(self, optimizer: Optimizer, state: dict[str, Any]) -> None:
        """Load what `optimizer_state` returned."""
        optimizer.load_state_dict(state)
