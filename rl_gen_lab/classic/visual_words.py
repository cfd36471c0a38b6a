"""Bags of visual words: an image as the counts of its patches by kind, whatever their order.

Source: Sivic and Zisserman 2003, "Video Google" (words, tf-idf); Csurka et al. 2004, "Visual Categorization with Bags
of Keypoints"; the grid: Lazebnik et al. 2006, "Beyond Bags of Features".
"""

from __future__ import annotations

import torch
from torch import Tensor


def count_words(words: Tensor, vocabulary: int, grid: int = 1) -> Tensor:
    """Count the words of each part of a grid. words: (B, rows, columns) int64 -> (B, grid ** 2 * vocabulary) float."""
    rows, columns = words.shape[1:]
    down, right = (torch.arange(side, device=words.device) * grid // side for side in (rows, columns))
    part = down[:, None] * grid + right
    index = (part * vocabulary + words).flatten(1)
    counts = torch.zeros(len(words), grid**2 * vocabulary, device=words.device)
    return counts.scatter_add_(1, index, torch.ones_like(index, dtype=counts.dtype))


def inverse_frequency(counts: Tensor) -> Tensor:
    """Return how much a word says: ln((1 + N) / (1 + images with it)) + 1, as scikit-learn. counts: (N, W) -> (W,)."""
    with_it = (counts > 0).sum(0)
    return torch.log((1 + len(counts)) / (1 + with_it.to(counts.dtype))) + 1


def tf_idf(counts: Tensor, weights: Tensor) -> Tensor:
    """Weight counts, and divide each image by its length. counts: (B, W); weights: (W,) -> (B, W)."""
    weighted = counts * weights
    return weighted / weighted.norm(dim=1, keepdim=True).clamp(min=1e-12)
