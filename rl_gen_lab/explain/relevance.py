"""Layer-wise relevance propagation (LRP): the number is handed back layer by layer, and nothing of it gets lost.

A layer's output is written as p * (output / p), of which only p has a gradient: then gradient times input is the
relevance (Montavon et al. 2019, "Layer-Wise Relevance Propagation: An Overview", section 10.3). Convolutions hand back
to what speaks for their output (positive products, z-plus), fully connected layers to all (epsilon), norms pass on.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.explain.layers import subtracted
from rl_gen_lab.explain.model import NO_GRADIENT, Explained, in_batches

EPSILON = 1e-9
NORMS = (F.batch_norm, F.group_norm, F.layer_norm)
CONVOLUTIONS = (F.conv2d, torch.conv2d, F.conv_transpose2d)
WITHOUT_RULE = (nn.LSTM, nn.LSTMCell, nn.GRU, nn.GRUCell, nn.RNN, nn.MultiheadAttention)


class Relevance(TorchFunctionMode):
    """Inside it the gradient times the input of a layer is its relevance.

    kept: what the layers do not hand back (biases, divisions by nearly 0), with its own gradients.
    """

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[Tensor] = []

    def __torch_function__(
        self, func: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in CONVOLUTIONS:
            return self._convolution(func, *args, **kwargs)
        if func is F.linear:
            return self._linear(*args, **kwargs)
        output = func(*args, **kwargs)
        if func in NORMS:
            x = args[0] if args else kwargs["input"]
            return self._shared(x, output, output / _stable(x))
        return output

    def _convolution(
        self, func: Any, x: Tensor, weight: Tensor, bias: Tensor | None = None, *more: Any, **k: Any
    ) -> Any:
        output = func(x, weight, bias, *more, **k)
        positive = func(x.clamp(min=0), weight.clamp(min=0), None, *more, **k)
        positive = positive + func(x.clamp(max=0), weight.clamp(max=0), None, *more, **k)
        return self._shared(positive, output, output / _stable(positive))

    def _linear(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        output = F.linear(x, weight, bias)
        return self._shared(F.linear(x, weight), output, output / _stable(output))

    def _shared(self, part: Tensor, output: Tensor, ratio: Tensor) -> Tensor:
        """Return the output, of which `part` times the ratio is handed back; the rest is kept."""
        handed = part * ratio.detach()
        rest = (output - handed).detach().requires_grad_()
        self.kept.append(rest)
        return handed + rest


def _stable(x: Tensor) -> Tensor:
    """Move numbers away from 0 by `EPSILON`."""
    return x + torch.where(x >= 0, EPSILON, -EPSILON)


def relevance(model: Explained, frames: Tensor, chosen: Tensor) -> Tensor:
    """Return the relevance of each pixel, (B, C, H, W), signed. Raises: ConfigError for layers without a rule."""
    return in_batches(lambda x, c: propagate(model, x, c)[0], frames, chosen)


def propagate(model: Explained, frames: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
    """Return the relevance (B, C, H, W) and what the layers kept, (B,); together they sum to the number explained.

    That is so where the number is linear in the last layer's output, as a gap of action values; of a log-probability
    they sum to its linear part. Raises: ConfigError.
    """
    for module in model.network.modules():
        if isinstance(module, WITHOUT_RULE):
            raise ConfigError(f"LRP has no rule for {type(module).__name__}: choose another method")
    frames = frames.detach().clone().requires_grad_()
    with torch.enable_grad(), Relevance() as mode:
        scores = model.scores(frames, chosen)
    if not scores.requires_grad:
        raise ConfigError(NO_GRADIENT)
    found = torch.autograd.grad(scores.sum(), [frames, *mode.kept], allow_unused=True)
    if found[0] is None:
        raise ConfigError(NO_GRADIENT)
    kept = torch.zeros(len(frames), dtype=frames.dtype)
    for rest, gradients in zip(mode.kept, found[1:], strict=True):
        if gradients is not None:
            kept += (rest * gradients).detach().reshape(len(frames), -1).sum(1)
    return found[0] * (frames.detach() - subtracted(model.network)), kept
