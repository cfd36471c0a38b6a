"""Feature inversion: the frame that a layer cannot tell from a given one, and how much of it is the given one.

Source: Mahendran & Vedaldi 2015, "Understanding deep image representations by inverting them".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from rl_gen_lab.explain.synthesis.search import minimize, out_of_range, total_variation

WHITE = 255.0


@dataclass(frozen=True)
class Inverted:
    """A frame found from what a layer gave for another.

    frame: (C, H, W) float32 in [0, 255]. features_error: squared error of the layer's values over that of the mean
    frame; kept: share of the frame's squared distance from the mean frame that came back, 1 for all, 0 for none.
    """

    frame: Tensor
    features_error: float
    kept: float


def invert(
    maps: Callable[[Tensor], Tensor],
    frame: Tensor,
    mean: Tensor,
    *,
    iterations: int = 120,
    variation: float = 0.2,
    noise: float = 0.1,
    seed: int = 0,
    on_step: Callable[[int], None] = lambda done: None,
) -> Inverted:
    """Search for a frame with a layer's values, from the mean frame on. frame, mean: (C, H, W) float32 in [0, 255].

    Minimizes the squared error of the values over that of the mean frame, and the total variation of the distance from
    the mean frame over the root mean square of the true one.
    """
    with torch.no_grad():
        wanted, empty = maps(frame[None]), maps(mean[None])
    size = (wanted - empty).square().mean().clamp(min=1e-12)
    base = mean[None] / WHITE
    spread = (frame / WHITE - base).square().mean().sqrt().clamp(min=1e-3)

    def loss(pixels: Tensor) -> Tensor:
        error = (maps(WHITE * pixels) - wanted).square().mean() / size
        return error + variation * total_variation(pixels - base) / spread + out_of_range(pixels)

    generator = torch.Generator().manual_seed(seed)
    start = (base + noise * spread * torch.randn(base.shape, generator=generator)).clamp(0, 1)
    found = WHITE * minimize(loss, start, iterations, on_step).clamp(0, 1)
    with torch.no_grad():
        error = float((maps(found) - wanted).square().mean() / size)
    missed = (found[0] - frame).square().sum() / (frame - mean).square().sum().clamp(min=1e-12)
    return Inverted(found[0], error, 1 - float(missed))
