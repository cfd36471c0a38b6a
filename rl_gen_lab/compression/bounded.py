"""Networks of packed files, built and tried out within bounds, whatever the header says.

A header of a hundred bytes can describe a network of terabytes, or one whose layers do not fit each other. So each
operation of torch is asked for the size of its result before it is carried out.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from rl_gen_lab.cli.errors import CheckpointError, UserError

MOST_AT_ONCE = 1 << 26  # numbers of the result of an operation: 256 MB
MOST_MADE = 1 << 27  # numbers of all new tensors: weights before layers were removed, buffers
MOST_OPERATIONS = 100_000
MOST_MULTIPLY_ADDS = 1 << 37  # of all convolutions: some seconds
MATRICES = (torch.ops.aten.mm, torch.ops.aten.addmm)
# Their result is never larger than what they read.
NEVER_LARGER = {
    getattr(torch.ops.aten, name)
    for name in (
        *("clone", "_to_copy", "mean", "sum", "max", "amax", "var", "cat", "stack", "native_group_norm"),
        *("native_batch_norm", "max_pool2d_with_indices", "avg_pool2d", "_adaptive_avg_pool2d", "index_select"),
        *("_softmax", "_log_softmax", "argmax", "sort", "topk", "split_with_sizes_copy", "native_layer_norm"),
    )
}
# What code that is given sizes, names or plans that do not fit each other raises. MemoryError: for lists and arrays.
MISFITS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
)


class Bounds(TorchDispatchMode):
    """Refuses what would take too much memory or time. Raises: CheckpointError."""

    def __init__(self) -> None:
        super().__init__()
        self.operations = self.made = self.multiply_adds = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # what would skip it takes 3 s to import

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Carry out an operation that keeps within the bounds."""
        kwargs = kwargs or {}
        self.operations += 1
        if self.operations > MOST_OPERATIONS:
            raise CheckpointError(f"its network takes more than {MOST_OPERATIONS:,} operations")
        if not (func.is_view or func._schema.is_mutable):  # neither makes a tensor
            self._check(func, args, kwargs)
        return func(*args, **kwargs)

    def _check(self, func: Any, args: Any, kwargs: Any) -> None:
        leaves = tree_leaves((args, kwargs))
        tensors = [part for part in leaves if isinstance(part, Tensor)]
        name, shape = func._overloadpacket, None
        if name is torch.ops.aten.convolution:
            shape = _convolved(*args)
            numbers = prod(shape)
        elif torch.Tag.pointwise in func.tags and tensors:
            numbers = prod(np.broadcast_shapes(*(tuple(part.shape) for part in tensors)))
        elif name in MATRICES:
            numbers = tensors[-2].shape[0] * tensors[-1].shape[1]
        elif name in NEVER_LARGER:
            numbers = sum(part.numel() for part in tensors)
        else:
            numbers = prod(max(part.numel(), 1) for part in tensors) * prod(_sizes_in(leaves))
            if numbers > MOST_AT_ONCE and tensors:
                numbers = _on_meta(func, args, kwargs)
        self.made += 0 if tensors else numbers
        if numbers > MOST_AT_ONCE or self.made > MOST_MADE:
            raise CheckpointError(f"its network would hold {max(numbers, self.made):,} numbers at once")
        if shape is not None:
            self.multiply_adds += prod(shape) * args[1].numel() // args[1].shape[args[6]]  # of each output
            if self.multiply_adds > MOST_MULTIPLY_ADDS:
                raise CheckpointError(f"its network would take {self.multiply_adds:,} multiplications for an image")


def _convolved(x: Tensor, weight: Tensor, bias: Any, *window: Any) -> tuple[int, ...]:
    """Shape of the result of aten's convolution, (B, C', H', W'); sizes below 1 are left for it to refuse."""
    stride, padding, dilation, transposed, extra, groups = window
    sizes = []
    for i, size in enumerate(x.shape[2:]):
        reach = dilation[i] * (weight.shape[2 + i] - 1)
        if transposed:
            sizes.append((size - 1) * stride[i] - 2 * padding[i] + reach + extra[i] + 1)
        else:
            sizes.append((size + 2 * padding[i] - reach - 1) // stride[i] + 1)
    channels = weight.shape[1] * groups if transposed else weight.shape[0]
    return (x.shape[0], channels, *(max(size, 0) for size in sizes))


def _sizes_in(leaves: list[Any]) -> list[int]:
    """Whole numbers among the arguments of an operation, of which some may be sizes."""
    return [part for part in leaves if type(part) is int and part > 1]


def _on_meta(func: Any, args: Any, kwargs: Any) -> int:
    """Count the numbers of a result on the meta device, which has no memory; its first use takes a second."""

    def there(value: Any) -> Any:
        return value.to("meta") if isinstance(value, Tensor) else value

    try:
        result = func(*tree_map(there, args), **tree_map(there, kwargs))
    except MISFITS:  # it depends on values, and then chooses among its inputs; or it fails as it will fail below
        return 0
    return sum(part.numel() for part in tree_leaves(result) if isinstance(part, Tensor))


@contextmanager
def bounded() -> Iterator[None]:
    """Build or run the network of a packed file in this context. Raises: CheckpointError for whatever is wrong."""
    try:
        with warnings.catch_warnings(), torch.no_grad(), Bounds():
            warnings.simplefilter("ignore")  # of layers without channels, which fit no weights
            yield
    except UserError as error:
        raise CheckpointError(_one_line(error)) from error
    except MISFITS as error:
        raise CheckpointError(f"its network cannot be built: {_one_line(error)}") from error


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else f"{text[:200]}..."
