"""Which channels of a network can only be removed together, found by following an example through it.

A channel gets a label where a convolution or fully connected layer makes it, and labels travel with the tensors: an
addition unites those of its operands, a concatenation puts them in a row, flattening repeats them, a layer that reads
them notes where. Label 0 means "stays": inputs and outputs of the network, and what is mixed across channels without a
weight. So do channels under a layer normalization, whose statistics each removal would change; group normalizations and
grouped convolutions lose whole groups. The removal of a group is therefore exactly what zero weights for it would be in
all layers that read it, with batch normalization in evaluation.
Source: Fang et al. 2023, "DepGraph: Towards Any Structural Pruning", section 3.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any, NoReturn

from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.overrides import TorchFunctionMode

from rl_gen_lab.backbones.blocks import ChannelNorm, DropConnectConv2d
from rl_gen_lab.backbones.convolutional import ScaledConv2d
from rl_gen_lab.cli.errors import ConfigError

# Layers that are followed. No subclass but these: it may do more with its weight than its base does.
CONVOLUTIONS = (nn.Conv2d, ScaledConv2d, DropConnectConv2d)
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
LAYER_NORMS = (nn.LayerNorm, ChannelNorm)
LAYERS = (*CONVOLUTIONS, nn.Linear, *BATCH_NORMS, nn.GroupNorm, *LAYER_NORMS)
# Functions of torch by name, without the underscores of operators and of functions in place.
ELEMENTWISE = {
    *("abs", "add", "celu", "clamp", "clone", "contiguous", "detach", "div", "dropout", "dropout2d", "elu", "exp"),
    *("float", "gelu", "hardsigmoid", "hardswish", "hardtanh", "leaky_relu", "logsigmoid", "maximum", "minimum"),
    *("mish", "mul", "neg", "radd", "relu", "relu6", "rmul", "rsub", "selu", "sigmoid", "silu", "softplus", "square"),
    *("sub", "tanh", "to", "truediv", "zeros_like"),
}
SPATIAL = {"max_pool2d", "avg_pool2d", "adaptive_avg_pool2d", "adaptive_max_pool2d", "interpolate"}
REDUCTIONS = {"mean", "sum", "amax", "amin"}
RESHAPES = {"flatten", "view", "reshape", "unflatten", "squeeze", "unsqueeze"}
# They read across channels, as heads do with the outputs of a network.
MIXING = {
    *("softmax", "log_softmax", "logsumexp", "max", "min", "argmax", "argmin", "chunk", "split", "getitem", "gather"),
    *("pad", "expand", "expand_as"),
}
INSPECTIONS = {"get", "dim", "size", "len", "numel", "is_contiguous", "is_floating_point"}  # no values are read
STAYS = 0  # label of channels that are not removed


@dataclass(frozen=True)
class Slice:
    """Some channels of a layer, by its name in the network: `index` of `size`."""

    layer: str
    index: tuple[int, ...]
    size: int


@dataclass(frozen=True)
class Group:
    """Channels that can only go together.

    outputs: of convolutions and fully connected layers, axis 0 of weight and bias; norms: entries of batch and group
    normalizations; inputs: of convolutions (without groups) and fully connected layers, axis 1 of the weight.
    """

    outputs: tuple[Slice, ...]
    norms: tuple[Slice, ...]
    inputs: tuple[Slice, ...]


class _Labels:
    """Sets of labels that belong together (union-find); the smallest label stands for its set."""

    def __init__(self) -> None:
        self._parents = [STAYS]

    def fresh(self, count: int) -> list[int]:
        """Make `count` labels."""
        first = len(self._parents)
        self._parents += range(first, first + count)
        return self._parents[first:]

    def find(self, label: int) -> int:
        """Return the label that stands for the set of this one."""
        while (parent := self._parents[label]) != label:
            self._parents[label] = self._parents[parent]
            label = parent
        return label

    def unite(self, labels: Sequence[int]) -> None:
        """Join the sets of all these labels."""
        roots = {self.find(label) for label in labels}
        first = min(roots)
        for root in roots:
            self._parents[root] = first

    def unite_each(self, first: list[int], second: list[int]) -> list[int]:
        """Join them pair by pair; return the first."""
        for pair in zip(first, second, strict=True):
            self.unite(pair)
        return first

    def stay(self, labels: list[int]) -> None:
        """Keep these from removal."""
        self.unite([STAYS, *labels])


class Trace(TorchFunctionMode):
    """One run of a network: what is known of each tensor, and which labels each layer makes and reads."""

    def __init__(self, network: nn.Module) -> None:
        """network: that `hooks` watches and that runs once in the context of this trace."""
        super().__init__()
        self._labels = _Labels()
        # id -> tensor (kept, or another would get its id), axis of its channels, their labels
        self._known: dict[int, tuple[Tensor, int, list[int]]] = {}
        self._sides: dict[tuple[str, str], list[int]] = {}  # ("outputs", "norms" or "inputs", layer) -> labels
        self._states = {id(tensor) for tensor in (*network.parameters(), *network.buffers())}
        self._running: list[tuple[str, nn.Module]] = []  # modules, from the network inwards

    @contextlib.contextmanager
    def hooks(self, network: nn.Module) -> Iterator[None]:
        """Watch every module in this context."""
        handles = []
        for name, module in network.named_modules():
            handles.append(module.register_forward_pre_hook(partial(self._enter, name)))
            handles.append(module.register_forward_hook(self._leave, with_kwargs=True))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def keep(self, outputs: Any) -> None:
        """Keep the channels of a network's outputs from removal, in whatever they are wrapped."""
        if isinstance(outputs, Tensor):
            if id(outputs) in self._known:
                self._labels.stay(self._known[id(outputs)][2])
        elif isinstance(outputs, Mapping):
            self.keep(list(outputs.values()))
        elif isinstance(outputs, list | tuple):
            for output in outputs:
                self.keep(output)
        elif hasattr(outputs, "__dict__"):
            self.keep(vars(outputs))

    def groups(self) -> list[Group]:
        """Return what belongs together."""
        found: dict[int, dict[str, list[Slice]]] = {}
        for (side, layer), labels in self._sides.items():
            indices: dict[int, list[int]] = {}
            for index, label in enumerate(labels):
                indices.setdefault(self._labels.find(label), []).append(index)
            for root, index_list in indices.items():
                slices = found.setdefault(root, {"outputs": [], "norms": [], "inputs": []})[side]
                slices.append(Slice(layer, tuple(index_list), len(labels)))
        found.pop(STAYS, None)
        return [Group(**{side: tuple(slices) for side, slices in found[root].items()}) for root in sorted(found)]

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        if type(self._running[-1][1]) not in LAYERS:
            tensors = [value for value in _flat((*args, *kwargs.values())) if isinstance(value, Tensor)]
            if any(id(tensor) in self._known for tensor in tensors):
                self._follow(func.__name__.strip("_"), tensors, args[1] if len(args) > 1 else kwargs.get("dim"), out)
        return out

    def _follow(self, name: str, tensors: list[Tensor], dim: Any, out: Any) -> None:
        """Label the output of a function that read labeled tensors. dim: its second argument."""
        if name in MIXING or not any(isinstance(value, Tensor) for value in _flat((out,))):
            self.keep(() if name in INSPECTIONS else tensors)
        elif name in ELEMENTWISE:
            self._elementwise(name, tensors, out)
        elif name in SPATIAL:
            self._set(out, out.dim() - 3, self._at(tensors[0], tensors[0].dim() - 3, name))
        elif name in ("cat", "stack"):
            self._join(name, tensors, (dim or 0) % out.dim(), out)
        elif name in REDUCTIONS:
            self._reduce(tensors[0], dim, out)
        elif name in RESHAPES:
            self._reshape(tensors[0], out)
        else:
            self._refuse(name)

    def _elementwise(self, name: str, tensors: list[Tensor], out: Tensor) -> None:
        axes = {self._known[id(tensor)][1] - tensor.dim() for tensor in tensors if id(tensor) in self._known}
        if len(axes) > 1:
            self._refuse(name)
        (axis,) = axes
        merged: list[int] | None = None
        for tensor in tensors:
            if tensor.numel() == 1 or tensor.dim() < -axis or tensor.shape[axis] != out.shape[axis]:
                self.keep(tensor)  # the same number for all channels
            elif id(tensor) in self._states:
                self._refuse(name)  # it would have to shrink too
            else:
                labels = self._at(tensor, tensor.dim() + axis, name)
                merged = labels if merged is None else self._labels.unite_each(merged, labels)
        if merged is not None:
            self._set(out, out.dim() + axis, merged)

    def _join(self, name: str, tensors: list[Tensor], dim: int, out: Tensor) -> None:
        axis = next(self._known[id(tensor)][1] for tensor in tensors if id(tensor) in self._known)
        parts = [self._at(tensor, axis, name) for tensor in tensors]
        if name == "cat" and dim == axis:
            self._set(out, axis, [label for part in parts for label in part])
            return
        for part in parts[1:]:
            self._labels.unite_each(parts[0], part)
        self._set(out, axis + (name == "stack" and dim <= axis), parts[0])

    def _reduce(self, x: Tensor, dim: Any, out: Tensor) -> None:
        _, axis, labels = self._known[id(x)]
        dims = {d % x.dim() for d in ((dim,) if isinstance(dim, int) else dim or range(x.dim()))}
        if axis in dims:
            self.keep(x)
        else:
            self._set(out, axis - (sum(d < axis for d in dims) if out.dim() < x.dim() else 0), labels)

    def _reshape(self, x: Tensor, out: Tensor) -> None:
        """Follow channels whose axis stays or is merged with what comes after it; keep those of any other change."""
        _, axis, labels = self._known[id(x)]
        for place, size in enumerate(out.shape):
            same_before = prod(out.shape[:place]) == prod(x.shape[:axis])
            if same_before and size % len(labels) == 0 and len(labels) > 1:
                self._set(out, place, [label for label in labels for _ in range(size // len(labels))])
                return
        self.keep(x)

    def _enter(self, name: str, module: nn.Module, _: Any) -> None:
        self._running.append((name, module))

    def _leave(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
        if parametrize.is_parametrized(module) or (type(module) in LAYERS and "weight" not in module._parameters):
            self._refuse("a weight computed from other tensors", "make that weight permanent first")
        if type(module) in LAYERS:
            self._layer(module, (*args, *kwargs.values())[0], out)
        self._running.pop()

    def _layer(self, module: nn.Module, x: Tensor, out: Tensor) -> None:
        """Label the output of a layer, and note what it makes and reads."""
        if isinstance(module, nn.Conv2d):
            read = self._at(x, x.dim() - 3, "convolution")
            made = self._note("outputs", None, module.out_channels)
            if isinstance(module, ScaledConv2d):
                self._labels.stay(read)  # its mean frame has these channels
            if module.groups > 1:
                self._unite_blocks(module.groups, read, made)
            else:
                self._note("inputs", read)
            self._set(out, out.dim() - 3, made)
        elif isinstance(module, nn.Linear):
            self._note("inputs", self._at(x, x.dim() - 1, "linear"))
            self._set(out, out.dim() - 1, self._note("outputs", None, module.out_features))
        elif isinstance(module, nn.LayerNorm):
            if id(x) in self._known:
                _, axis, labels = self._known[id(x)]
                first = 1 if isinstance(module, ChannelNorm) else x.dim() - len(module.normalized_shape)
                self._labels.stay(labels if axis >= first else [])
                self._set(out, axis, labels)
        else:
            labels = self._note("norms", self._at(x, 1, "normalization"))
            if isinstance(module, nn.GroupNorm):
                self._unite_blocks(module.num_groups, labels)
            self._set(out, 1, labels)

    def _unite_blocks(self, blocks: int, *rows: list[int]) -> None:
        """Unite what is in the same one of equal blocks of each row."""
        for block in range(blocks):
            self._labels.unite(
                [x for row in rows for x in row[block * len(row) // blocks : (block + 1) * len(row) // blocks]]
            )

    def _note(self, side: str, labels: list[int] | None, size: int = 0) -> list[int]:
        """Note the labels of a side of the layer that runs, None for new ones; in a second call they are those of the
        first."""
        key = (side, self._running[-1][0])
        if key in self._sides:
            return self._labels.unite_each(self._sides[key], labels or self._sides[key])
        self._sides[key] = self._labels.fresh(size) if labels is None else labels
        return self._sides[key]

    def _at(self, x: Tensor, axis: int, name: str) -> list[int]:
        """Return the labels of channels on this axis; STAYS for each where nothing is known of the tensor."""
        if id(x) not in self._known:
            return [STAYS] * x.shape[axis]
        if self._known[id(x)][1] != axis:
            self._refuse(f"{name} over another axis than that of the channels")
        return self._known[id(x)][2]

    def _set(self, x: Tensor, axis: int, labels: list[int]) -> None:
        self._known[id(x)] = (x, axis, labels)

    def _refuse(
        self, what: str, advice: str = "choose a network of convolutions and fully connected layers"
    ) -> NoReturn:
        name, module = self._running[-1]
        where = f"layer {name!r}" if name else "the network"
        raise ConfigError(
            f"channels cannot be removed: {what} in {where} ({type(module).__name__}) cannot be followed; {advice}"
        )


def _flat(values: Sequence[Any]) -> Iterator[Any]:
    """Yield the values within nested lists and tuples."""
    for value in values:
        if isinstance(value, list | tuple):
            yield from _flat(value)
        else:
            yield value
