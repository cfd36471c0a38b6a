"""k-means: `k` means such that points are near to one of them.

Source: Lloyd 1982, "Least squares quantization in PCM"; the starts: Arthur and Vassilvitskii 2007, "k-means++".
"""

from __future__ import annotations

import torch
from torch import Tensor

CHUNK = 65_536  # points whose distances are computed at a time


def nearest(points: Tensor, means: Tensor) -> tuple[Tensor, Tensor]:
    """Return each point's nearest mean, (N,) int64, and its squared distance (N,). points: (N, D), means: (K, D)."""
    lengths = means.square().sum(1)
    indices, squares = [], []
    for part in points.split(CHUNK):
        best, index = (lengths - 2 * part @ means.T).min(1)
        indices.append(index)
        squares.append((best + part.square().sum(1)).clamp(min=0))
    return torch.cat(indices), torch.cat(squares)


def starts(points: Tensor, k: int, generator: torch.Generator) -> Tensor:
    """Draw starts far from each other: each next one with a probability by its squared distance. -> (K, D)."""
    chosen = [points[int(torch.randint(len(points), (1,), generator=generator))]]
    squares = (points - chosen[0]).square().sum(1)
    for _ in range(k - 1):
        total = squares.double().cumsum(0)
        if total[-1] == 0:  # fewer different points than means
            chosen.append(points[int(torch.randint(len(points), (1,), generator=generator))])
            continue
        drawn = torch.rand((), generator=generator, dtype=torch.float64) * total[-1]
        chosen.append(points[min(int(torch.searchsorted(total, drawn, right=True)), len(points) - 1)])
        squares = torch.minimum(squares, (points - chosen[-1]).square().sum(1))
    return torch.stack(chosen)


def kmeans(points: Tensor, means: Tensor, iterations: int = 100) -> tuple[Tensor, Tensor]:
    """Improve means until no point changes its mean, `iterations` times at most.

    A mean without points moves to the point that is farthest from its own. points: (N, D); means: (K, D), the starts.
    Returns: means (K, D), and the mean of each point (N,) int64.
    """
    assigned: Tensor | None = None
    for _ in range(iterations):
        index, squares = nearest(points, means)
        if assigned is not None and torch.equal(index, assigned):
            break
        assigned = index
        counts = torch.bincount(index, minlength=len(means))
        sums = torch.zeros_like(means).index_add_(0, index, points)
        means = torch.where(counts[:, None] > 0, sums / counts.clamp(min=1)[:, None], means)
        empty = (counts == 0).nonzero()[:, 0]
        if len(empty):
            means[empty] = points[squares.topk(min(len(empty), len(points))).indices][: len(empty)]
    return means, nearest(points, means)[0]
