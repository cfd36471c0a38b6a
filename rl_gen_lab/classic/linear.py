"""Losses of a linear classifier, multiclass and by category.

scores: (B, K) float; labels: (B,) int64; present: (B, K) 0 or 1. All are sums over classes and means over images.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

MARGIN = 1.0
LENGTH = 10.0  # root mean square of the length of what a linear classifier is given, whatever the number of features


def hinge_sum(scores: Tensor, labels: Tensor) -> Tensor:
    """Sum over the wrong classes of max(0, score - score of the right class + 1).

    Before anything is learned all scores are equal, and it is K - 1. Source: Weston and Watkins 1999, "Support Vector
    Machines for Multi-Class Pattern Recognition".
    """
    right = scores.gather(1, labels[:, None])
    wrong = (scores - right + MARGIN).clamp(min=0).scatter(1, labels[:, None], 0.0)
    return wrong.sum(1).mean()


def hinge_max(scores: Tensor, labels: Tensor) -> Tensor:
    """max(0, best score of a wrong class - score of the right class + 1), which is 1 before anything is learned.

    Source: Crammer and Singer 2001, "On the Algorithmic Implementation of Multiclass Kernel-based Vector Machines".
    """
    right = scores.gather(1, labels[:, None])
    wrong = (scores - right + MARGIN).scatter(1, labels[:, None], 0.0)
    return wrong.amax(1).clamp(min=0).mean()


def hinge_by_category(scores: Tensor, present: Tensor) -> Tensor:
    """Sum over the categories of the two-class hinge: max(0, 1 - score) where it is present, else max(0, 1 + score)."""
    return (MARGIN - (2 * present - 1) * scores).clamp(min=0).sum(1).mean()


def entropy_by_category(scores: Tensor, present: Tensor) -> Tensor:
    """Sum over the categories of the binary cross-entropy [nats]."""
    return F.binary_cross_entropy_with_logits(scores, present, reduction="none").sum(1).mean()


def half_squared_norm(weights: Tensor) -> Tensor:
    """Half the squared norm of the weights: what a support vector machine keeps small."""
    return weights.square().sum() / 2


# By model and hinge: of images of one class, and of images of none or several categories.
ONE_CLASS: dict[tuple[str, str], Callable[[Tensor, Tensor], Tensor]] = {
    ("svm", "sum"): hinge_sum,
    ("svm", "max"): hinge_max,
    ("softmax", "sum"): F.cross_entropy,
}
BY_CATEGORY: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"svm": hinge_by_category, "softmax": entropy_by_category}


def loss_of(model: str, hinge: str, scores: Tensor, truth: Tensor, one_class: bool) -> Tensor:
    """Return the loss of a model. truth: (B, K) 0 or 1, of which exactly one is 1 in each row if `one_class`."""
    return ONE_CLASS[model, hinge](scores, truth.argmax(1)) if one_class else BY_CATEGORY[model](scores, truth)


def zero_linear(inputs: int, outputs: int) -> torch.nn.Linear:
    """Make a linear layer of zeros: the losses here are convex, so that every start leads to the same weights."""
    layer = torch.nn.Linear(inputs, outputs)
    torch.nn.init.zeros_(layer.weight)
    torch.nn.init.zeros_(layer.bias)
    return layer
