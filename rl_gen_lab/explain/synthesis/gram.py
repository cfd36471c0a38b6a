"""Texture by Gram matrices: a picture whose filters answer together as often as in another picture.

Source: Gatys, Ecker & Bethge 2015, "Texture synthesis using convolutional neural networks".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from rl_gen_lab.explain.synthesis.encoders import Encoder
from rl_gen_lab.explain.synthesis.search import minimize, out_of_range

LAGS = 0.4  # of the smaller side: shifts whose correlation is kept


def gram(maps: Tensor) -> Tensor:
    """Return the mean products of all pairs of maps, over places: (B, C, H, W) -> (B, C, C)."""
    flat = maps.flatten(2)
    return flat @ flat.transpose(1, 2) / flat.shape[2]


def gram_distance(found: Sequence[Tensor], wanted: Sequence[Tensor]) -> Tensor:
    """Return the squared difference of Gram matrices over the squared size of those wanted, the mean over layers."""
    parts = [(a - b).square().sum() / b.square().sum() for a, b in zip(found, wanted, strict=True)]
    return torch.stack(parts).mean()


def correlations(pictures: Tensor, lag: int) -> Tensor:
    """Return how alike a picture is to itself, shifted: (B, C, H, W) -> (B, lag + 1, 2 * lag + 1), 1 at shift 0.

    Of the gray picture less its mean; rows are shifts down from 0, columns to the right from -lag to lag. Each is the
    mean product over the pixels that overlap, over the variance: no wrap around borders.
    """
    gray = pictures.mean(1)
    gray = gray - gray.mean((1, 2), keepdim=True)
    height, width = gray.shape[1:]
    size = (height + lag, width + lag)
    sums = torch.fft.irfft2(torch.fft.rfft2(gray, size).abs().square(), size)
    shifts = torch.arange(-lag, lag + 1)
    sums = sums[:, : lag + 1][:, :, shifts % size[1]]
    overlap = (height - torch.arange(lag + 1))[:, None] * (width - shifts.abs())[None]
    return sums / overlap / gray.square().mean((1, 2))[:, None, None].clamp(min=1e-8)


def synthesize(
    source: Tensor,
    height: int,
    width: int,
    encoder: Encoder,
    *,
    iterations: int = 60,
    long_range: float = 0.0,
    seed: int = 0,
    on_step: Callable[[int], None] = lambda done: None,
) -> Tensor:
    """Return a picture (1, C, height, width) float32 in [0, 1] with the source's Gram matrices, found from noise.

    source: (1, C, H, W) float32 in [0, 1]. long_range: weight of the correlations with the shifted picture, which
    filters smaller than the shift do not see (after Berger & Memisevic 2017, who shift the maps instead).
    on_step: gets the number of iterations done.
    """
    lag = int(LAGS * min(height, width, *source.shape[2:]))
    with torch.no_grad():
        wanted = [gram(maps) for maps in encoder(source)]
        shifted = correlations(source, lag)
    generator = torch.Generator().manual_seed(seed)
    mean, scale = source.mean((2, 3), keepdim=True), source.std()
    start = mean + scale * torch.randn(1, source.shape[1], height, width, generator=generator)

    def loss(pictures: Tensor) -> Tensor:
        value = gram_distance([gram(maps) for maps in encoder(pictures)], wanted) + out_of_range(pictures)
        if long_range:
            value = value + long_range * (correlations(pictures, lag) - shifted).square().mean()
        return value

    return minimize(loss, start.clamp(0, 1), iterations, on_step).clamp(0, 1)
