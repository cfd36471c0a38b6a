"""Nearest neighbors: the training images that are most like an image vote. Source: Cover and Hart 1967."""

from __future__ import annotations

import torch
from torch import Tensor

CHUNK = 256  # images whose distances are computed at a time


def vote(points: Tensor, known: Tensor, truth: Tensor, neighbors: int) -> Tensor:
    """Return the share of the nearest known points that show each category.

    points: (B, D); known: (N, D); truth: (N, K) 0 or 1 -> (B, K) float. Distances are Euclidean; of equally distant
    points the first count.
    """
    shares = []
    lengths = known.square().sum(1)
    for part in points.split(CHUNK):
        squares = lengths - 2 * part @ known.T
        nearest = squares.topk(min(neighbors, len(known)), largest=False).indices
        shares.append(truth[nearest].float().mean(1))
    return torch.cat(shares) if shares else truth.new_zeros(0, truth.shape[1]).float()
