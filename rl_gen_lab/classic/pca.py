"""Principal components: the directions in which points vary most. Source: Pearson 1901; Turk and Pentland 1991."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Components(NamedTuple):
    """mean: (D,); axes: (K, D) of length 1; variances: (K,) along them, the largest first; share: of all variance."""

    mean: Tensor
    axes: Tensor
    variances: Tensor
    share: float


def principal_components(points: Tensor, count: int) -> Components:
    """Compute the first `count` components of points (N, D), in float64.

    By the eigenvectors of the smaller of the two products of the centered points with themselves. The sign of an axis
    is free: its largest number is made positive, as scikit-learn's.
    """
    mean = points.double().mean(0)
    centered = points.double() - mean
    wide = len(points) < points.shape[1]
    product = centered @ centered.T if wide else centered.T @ centered
    values, vectors = torch.linalg.eigh(product / (len(points) - 1))
    values, vectors = values.flip(0).clamp(min=0), vectors.flip(1)
    axes = (centered.T @ vectors[:, :count]).T if wide else vectors[:, :count].T
    axes = axes / axes.norm(dim=1, keepdim=True).clamp(min=1e-12)
    largest = axes.gather(1, axes.abs().argmax(1, keepdim=True))
    axes = axes * torch.where(largest < 0, -1.0, 1.0)
    share = float(values[:count].sum() / values.sum().clamp(min=1e-300))
    return Components(mean, axes, values[:count], share)
