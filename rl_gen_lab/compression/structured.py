"""Structured pruning: channels of convolutions and units of fully connected layers, removed from the network.

What is left is an ordinary smaller network. `groups` says what can only go together, `importance` and `dead_units` what
is worth least, `remove` takes it out in place, and `apply_plan` makes a network that was built anew as small, for saved
weights to load. Optimizers made before hold the old weights: make them anew. After `remove` a network gives what it did
with zero weights for the removed channels in all layers that read them (batch normalization in evaluation).
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from rl_gen_lab.backbones.convolutional import Convolutional
from rl_gen_lab.backbones.vector import MLP
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.compression.channel_groups import BATCH_NORMS, CONVOLUTIONS, Group, Slice, Trace

BATCH = 128  # frames that pass through the network at a time
OUT, IN = 0, 1  # axes of a weight
# Attributes with the sizes of these axes, by kind of layer.
SIZES: dict[tuple[type[nn.Module], ...], tuple[str, ...]] = {
    CONVOLUTIONS: ("out_channels", "in_channels"),
    (nn.Linear,): ("out_features", "in_features"),
    BATCH_NORMS: ("num_features",),
    (nn.GroupNorm,): ("num_channels",),
}
TINY = torch.finfo(torch.float64).tiny
STATES = ("weight", "bias", "running_mean", "running_var")
Energies = Mapping[tuple[str, int], Tensor]  # (layer, axis) -> a number for each channel


@torch.no_grad()
def groups(network: nn.Module, example: Tensor) -> list[Group]:
    """Return the groups of channels that can be removed, in the order in which layers make them.

    Never among them: channels of the network's inputs and outputs. The network runs once, in evaluation mode.
    example: (B, ...) observations or images of the type that the network reads; their values do not matter.
    Raises: ConfigError for a layer or function that cannot be followed.
    """
    owners: dict[int, str] = {}
    for name, module in network.named_modules():
        for weight in module.parameters(recurse=False):
            if (owner := owners.setdefault(id(weight), name)) != name:
                raise ConfigError(f"layers {owner!r} and {name!r} share a weight: channels cannot be removed from them")
    trace = Trace(network)
    try:
        with _evaluation(network), trace.hooks(network), trace:
            outputs = network(example)
    except (NotImplementedError, TypeError) as error:  # a generator, a captioner
        raise ConfigError(
            "channels cannot be removed from this network: it does more than read a batch and give outputs"
        ) from error
    trace.keep(outputs)
    return trace.groups()


def importance(
    network: nn.Module,
    chosen: Sequence[Group],
    by: Literal["magnitude", "activation"] = "magnitude",
    frames: Tensor | None = None,
) -> Tensor:
    """Return how much each group matters, (G,) float64: 1 is the average of its layers.

    magnitude: the L2 norm of the weights of all its slices, squares divided by the layer's mean and averaged over the
    slices. Source: Fang et al. 2023, "DepGraph", section 3.3; for single filters Li et al. 2017, "Pruning Filters for
    Efficient ConvNets". activation: mean absolute value of what its readers read, divided by the layer's mean.
    chosen: from `groups`. frames: (M, ...) observations, for activation.
    Raises: ConfigError for another `by`, and for activations without frames.
    """
    if by == "magnitude":
        rows = [_parts(group) for group in chosen]
        keys = {(part.layer, axis) for row in rows for part, axis in row}
        return _relative(rows, {key: _energy(network, *key) for key in keys}).sqrt()
    if by != "activation":
        raise ConfigError(f"importance by {by!r} is unknown: use 'magnitude' or 'activation'")
    if frames is None or not len(frames):
        raise ConfigError("importance by activation needs frames")
    activity = _activity(network, chosen, frames)
    totals = {(layer, IN): total for layer, (total, _) in activity.items()}
    return _relative([[(part, IN) for part in group.inputs] for group in chosen], totals)


def dead_units(network: nn.Module, frames: Tensor) -> list[Group]:
    """Return the groups of which every layer that reads them reads zeros, on all `frames`: `remove` changes no output.

    Such are units that a ReLU never lets through, and with them what they are coupled to. Of a layer that is dead
    altogether a group is left out, so that all that are returned can be removed.
    frames: (M, ...) observations. Raises: ConfigError, as `groups`, and for no frames.
    """
    if not len(frames):
        raise ConfigError("dead units cannot be told without frames: give at least one")
    known = groups(network, frames[:1])
    largest = {layer: most for layer, (_, most) in _activity(network, known, frames).items()}
    dead = [g for g in known if not any(largest[s.layer][list(s.index)].any() for s in g.inputs)]
    return _least(dead, torch.zeros(len(dead)), 1.0)


def prune_channels(network: nn.Module, example: Tensor, share: float, frames: Tensor | None = None) -> dict[str, int]:
    """Remove the least important share of the channels of every layer, rounded down; at least one stays.

    Importance is by activation on `frames` (M, ...) where there are any, by magnitude otherwise. Coupled channels go
    only while no layer of theirs loses more than the share. example: as `groups`. Returns the plan, as `remove`.
    Raises: ConfigError, as `groups`, and for a share that is not between 0 and 1.
    """
    if not 0 <= share <= 1:
        raise ConfigError(f"the share of channels to remove must be between 0 and 1, not {share}")
    known = groups(network, example)
    scores = importance(network, known, "magnitude" if frames is None else "activation", frames)
    return remove(network, _least(known, scores, share))


@torch.no_grad()
def remove(network: nn.Module, chosen: Sequence[Group]) -> dict[str, int]:
    """Remove these groups from the network, in place.

    chosen: from `groups`, for this network as it is now. Returns the plan for `apply_plan`: the new sizes, such as
    {"fc.in_features": 96}, plain data. The plan of one removal after the other is the union {**first, **second}.
    Raises: ConfigError for groups of another network, and where nothing of a layer would stay. Nothing is changed then.
    """
    removed: dict[tuple[str, int], set[int]] = {}
    for group in chosen:
        for part, axis in _parts(group):
            if _size(network, part.layer, axis) != part.size:
                raise ConfigError(f"layer {part.layer!r} has other channels now: find the groups of this network anew")
            removed.setdefault((part.layer, axis), set()).update(part.index)
    kept = {key: [i for i in range(_size(network, *key)) if i not in gone] for key, gone in removed.items()}
    for (layer, _), index in kept.items():
        if not index:
            raise ConfigError(f"nothing of layer {layer!r} would stay: leave at least one of its groups")
    return _cut_all(network, kept)


@torch.no_grad()
def apply_plan(network: nn.Module, plan: Mapping[str, int]) -> None:
    """Make a network that was built anew as small as the one of the plan, in place; which weights stay does not matter.

    Raises: ConfigError for a plan of another network. Nothing is changed then.
    """
    kept = {}
    for key, size in plan.items():
        layer, _, attribute = key.rpartition(".")
        axis = next((axis for axis in (OUT, IN) if _size_name(network, layer, axis) == attribute), None)
        fits = axis is not None and type(size) is int and 1 <= size <= _size(network, layer, axis)
        if axis is None or not fits or size % _block(network.get_submodule(layer)):
            raise ConfigError(f"the plan is of another network: {key!r} cannot become {size!r}")
        kept[layer, axis] = list(range(size))
    _cut_all(network, kept)


def _parts(group: Group) -> list[tuple[Slice, int]]:
    """All slices of a group, with the axes of the weights that they lie on."""
    return [(part, OUT) for part in (*group.outputs, *group.norms)] + [(part, IN) for part in group.inputs]


def _relative(rows: Sequence[Sequence[tuple[Slice, int]]], energies: Energies) -> Tensor:
    """Average over the slices of each row of what their channels have, where 1 is the layer's average: (G,) float64."""
    relative = {key: energy / energy.mean().clamp_min(TINY) for key, energy in energies.items()}
    scores = [[float(relative[part.layer, axis][list(part.index)].mean()) for part, axis in row] for row in rows]
    return torch.tensor([sum(row) / max(len(row), 1) for row in scores], dtype=torch.float64)


def _energy(network: nn.Module, layer: str, axis: int) -> Tensor:
    """Sum of squares of the weights of each channel on this axis, a bias included: (C,) float64."""
    module = network.get_submodule(layer)
    energy = torch.zeros(_size(network, layer, axis), dtype=torch.float64)
    for name in ("weight", "bias") if axis == OUT else ("weight",):
        if (weight := getattr(module, name)) is not None:
            squares = weight.detach().double().square().movedim(axis, 0)
            energy += squares.reshape(len(squares), -1).sum(1).cpu()
    return energy


@torch.no_grad()
def _activity(network: nn.Module, chosen: Sequence[Group], frames: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
    """Sum and maximum of the absolute values of what layers read, over frames and positions: (C,) float64 each."""
    found: dict[str, tuple[Tensor, Tensor]] = {}

    def read(layer: str, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        x = (*args, *kwargs.values())[0]
        values = x.abs().movedim(-1 if isinstance(module, nn.Linear) else -3, -1).flatten(0, -2)
        total, most = values.sum(0, dtype=torch.float64).cpu(), values.amax(0).double().cpu()
        if layer in found:
            total, most = found[layer][0] + total, torch.maximum(found[layer][1], most)
        found[layer] = (total, most)

    layers = {part.layer for group in chosen for part in group.inputs}
    handles = [
        network.get_submodule(name).register_forward_pre_hook(partial(read, name), with_kwargs=True) for name in layers
    ]
    device = next(network.parameters()).device
    try:
        with _evaluation(network):
            for batch in frames.split(BATCH):
                network(batch.to(device))
    finally:
        for handle in handles:
            handle.remove()
    return found


def _least(chosen: Sequence[Group], scores: Tensor, share: float) -> list[Group]:
    """Return the groups of lowest scores such that each layer loses at most this share of its channels, and not all."""
    lost: dict[str, int] = {}
    taken = []
    for i in scores.argsort(stable=True).tolist():
        outputs = chosen[i].outputs
        most = {part.layer: min(math.floor(share * part.size + 1e-9), part.size - 1) for part in outputs}
        if all(lost.get(part.layer, 0) + len(part.index) <= most[part.layer] for part in outputs):
            taken.append(chosen[i])
            for part in outputs:
                lost[part.layer] = lost.get(part.layer, 0) + len(part.index)
    return taken


def _size_name(network: nn.Module, layer: str, axis: int) -> str | None:
    """Name of the attribute with the size of this axis; None where there is none that changes by itself."""
    try:
        module = network.get_submodule(layer)
    except AttributeError:
        return None
    names = next((names for kinds, names in SIZES.items() if type(module) in kinds), ())
    follows = axis == IN and getattr(module, "groups", 1) > 1  # the inputs of a grouped convolution follow its outputs
    return None if axis >= len(names) or follows else names[axis]


def _size(network: nn.Module, layer: str, axis: int) -> int:
    """Channels on this axis; 0 where there is none."""
    name = _size_name(network, layer, axis)
    return 0 if name is None else getattr(network.get_submodule(layer), name)


def _block(module: nn.Module) -> int:
    """Outputs that can only go together: of a branch of a grouped convolution, of a group that is normalized."""
    if isinstance(module, nn.GroupNorm):
        return module.num_channels // module.num_groups
    return module.out_channels // module.groups if isinstance(module, nn.Conv2d) and module.groups > 1 else 1


def _cut_all(network: nn.Module, kept: Mapping[tuple[str, int], list[int]]) -> dict[str, int]:
    """Keep these channels of each layer and axis; return the plan."""
    names = {(layer, axis): _size_name(network, layer, axis) for layer, axis in kept}
    for (layer, axis), index in kept.items():
        _cut(network.get_submodule(layer), str(names[layer, axis]), axis, index)
    for module in network.modules():
        if isinstance(module, MLP):
            module.out_features = next(m for m in reversed(module.layers) if isinstance(m, nn.Linear)).out_features
        elif isinstance(module, Convolutional):
            _update_features(module)
    return {f"{layer}.{names[layer, axis]}": len(index) for (layer, axis), index in kept.items()}


def _cut(module: nn.Module, name: str, axis: int, index: list[int]) -> None:
    """Keep these channels of a layer. name: of the attribute with their number."""
    for state in STATES if axis == OUT else ("weight",):
        if (tensor := getattr(module, state, None)) is not None:
            smaller = tensor.detach().index_select(axis, torch.tensor(index, device=tensor.device))
            trained = isinstance(tensor, nn.Parameter)
            setattr(module, state, nn.Parameter(smaller, tensor.requires_grad) if trained else smaller)
    block = _block(module)
    if isinstance(module, nn.GroupNorm):
        module.num_groups = len(index) // block
    elif isinstance(module, nn.Conv2d) and module.groups > 1:
        module.in_channels = module.in_channels // module.groups * (len(index) // block)
        module.groups = len(index) // block
    setattr(module, name, len(index))


def _update_features(backbone: Convolutional) -> None:
    """Count the channels of a backbone's maps and features anew."""
    frame = torch.zeros(1, *backbone.shape, dtype=torch.uint8, device=next(backbone.parameters()).device)
    with _evaluation(backbone):
        maps = backbone.maps(frame)
    backbone.feature_maps = tuple(
        dataclasses.replace(known, channels=map_.shape[1])
        for known, map_ in zip(backbone.feature_maps, maps, strict=True)
    )
    backbone.out_features = backbone.fc.out_features if backbone.fc is not None else maps[-1].shape[1]


@contextlib.contextmanager
def _evaluation(network: nn.Module) -> Iterator[None]:
    """Evaluation mode in this context; afterwards each module has its own mode again."""
    training = [module for module in network.modules() if module.training]
    network.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
