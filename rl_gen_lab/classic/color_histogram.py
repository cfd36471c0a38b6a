"""Color histograms: how often each color occurs, wherever. Source: Swain and Ballard 1991, "Color Indexing"."""

from __future__ import annotations

import torch
from torch import Tensor


def color_histogram(images: Tensor, bins: int) -> Tensor:
    """Return the share of an image's pixels in each cube of red, green and blue.

    images: (B, 3, H, W) uint8 -> (B, bins ** 3) float32, of sum 1.
    """
    cube = images.long() * bins // 256
    index = ((cube[:, 0] * bins + cube[:, 1]) * bins + cube[:, 2]).flatten(1)
    counts = torch.zeros(len(images), bins**3, device=images.device)
    return counts.scatter_add_(1, index, torch.ones_like(index, dtype=counts.dtype)) / index.shape[1]
