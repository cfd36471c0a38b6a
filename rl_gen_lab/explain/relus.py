"""Every ReLU of a network, whatever its form: as a module, as a function, as a method, in place or not.

Hooks on `nn.ReLU` miss functional ones, silently: on a network that ends in `F.relu` the map is then wrong. A function
mode sees all of them, and no model needs to be changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

IN_PLACE = (F.relu_, torch.relu_, Tensor.relu_, Tensor.clamp_min_, Tensor.clamp_)
RELUS = (F.relu, torch.relu, Tensor.relu, F.relu_, torch.relu_, Tensor.relu_)
CLAMPS = (torch.clamp, Tensor.clamp, Tensor.clamp_, torch.clamp_min, Tensor.clamp_min, Tensor.clamp_min_)


class GuidedReLU(torch.autograd.Function):
    """ReLU that passes back only what is positive, to inputs that are positive.

    Source: Springenberg et al. 2015, "Striving for Simplicity", figure 1.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """Return ReLU(x)."""
        ctx.save_for_backward(x)
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        """Return the guided gradient."""
        (x,) = ctx.saved_tensors
        return gradients[0].clamp(min=0) * (x > 0)


class ReplacedReLUs(TorchFunctionMode):
    """Inside it every ReLU is another function of the same value. met: how many calls were replaced."""

    def __init__(self, replacement: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.replacement, self.met = replacement, 0

    def __torch_function__(
        self, func: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if not _is_relu(func, args, kwargs):
            return func(*args, **kwargs)
        self.met += 1
        x: Tensor = args[0] if args else kwargs["input"]
        if func in IN_PLACE or kwargs.get("inplace") or (func is F.relu and len(args) > 1 and args[1]):
            return x.copy_(self.replacement(x.clone()))  # whoever holds x sees the change, as before
        return self.replacement(x)


def _is_relu(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Return whether a call is a ReLU; a clamp is one if its lower end is 0 and it has no upper end."""
    if func in RELUS:
        return True
    if func not in CLAMPS:
        return False
    ends = dict(zip(("input", "min", "max"), args, strict=False)) | kwargs
    low = ends.get("min")
    return isinstance(low, int | float) and low == 0 and ends.get("max") is None
