"""Recording of SB3's gradient norms, computed in every update for clipping but not logged."""

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
        """Patch `clip_grad_norm_` to record its result within this context; SB3 looks it up in torch at each update."""
        clip = torch.nn.utils.clip_grad_norm_

        def recording(*arguments: Any, **settings: Any) -> Tensor:
            norm = clip(*arguments, **settings)
            self._norms.append(norm.detach())
            return norm

        torch.nn.utils.clip_grad_norm_ = recording
        try:
            yield
        finally:
            torch.nn.utils.clip_grad_norm_ = clip

    @property
    def learned(self) -> bool:
        """Whether there was an update since the last call of `latest`."""
        return bool(self._norms)

    def latest(self) -> float | None:
        """Return the mean norm before clipping over the updates since the last call with one; None before the first."""
        if self._norms:
            self._last = float(torch.stack(self._norms).mean())
            self._norms.clear()
        return self._last
