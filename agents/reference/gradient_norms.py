"""The norm of SB3's gradients: it computes one in every update, to clip by it, and logs none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor


class GradientNorms:
    """Keeps what `torch.nn.utils.clip_grad_norm_` returns while SB3 learns; nothing is computed twice or changed."""

    def __init__(self) -> None:
        self._norms: list[Tensor] = []
        self._last: float | None = None

    @contextmanager
    def recorded(self) -> Iterator[None]:
        """Listen to the function that SB3 clips by, which it looks up in torch at each update."""
        clip = torch.nn.utils.clip_grad_norm_

        def listening(*arguments: Any, **settings: Any) -> Tensor:
            norm = clip(*arguments, **settings)
            self._norms.append(norm.detach())
            return norm

        torch.nn.utils.clip_grad_norm_ = listening
        try:
            yield
        finally:
            torch.nn.utils.clip_grad_norm_ = clip

    def latest(self) -> float | None:
        """Return the mean norm before clipping over the last round of updates; None before the first.

        Call it at every step: a round is what happened since the last call.
        """
        if self._norms:
            self._last = float(torch.stack(self._norms).mean())
            self._norms.clear()
        return self._last
