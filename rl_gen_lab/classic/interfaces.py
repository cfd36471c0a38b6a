"""How classic models are measured: as the networks are, by functions that are handed in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class Measures:
    """The measures of vision models.

    presence: of the probabilities (N, K) that images show categories; select: detections from boxes (A, 4) with scores
    (A, K) in an image of size (H, W), by the settings of a detector; detection: the metrics of a detector on a split.
    """

    presence: Callable[[Tensor, Tensor, Sequence[str]], dict[str, float]]
    select: Callable[[Any, Tensor, Tensor, tuple[int, int]], Any]
    detection: Callable[..., dict[str, float]]
