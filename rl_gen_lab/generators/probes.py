"""What a code knows: linear probes of the true numbers of a frame.

Probes follow AtariARI's protocol (Anand et al. 2019, "Unsupervised state representation learning in Atari", section 4):
a linear classifier for each variable, Adam with a step of 5e-4, batches of 64, up to 100 epochs, stopped after 15
without a better validation; weighted F1 over the test images that no training image equals; variables of less than 0.6
nats of entropy are left out. Different here: features are standardized, and a frame in which a variable has no value
(a ball that is out of play) is left out for that variable.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CLASSES, LEAST_ENTROPY = 256, 0.6  # values of a byte; nats
EPOCHS, PATIENCE, BATCH, LEARNING_RATE = 100, 15, 64, 5e-4


@dataclass(frozen=True)
class Probed:
    """A part of the data. features: (N, D) float32; values: (N,) float32, NaN where there is none."""

    features: Tensor
    values: Tensor

    def known(self) -> tuple[Tensor, Tensor]:
        """Return features (M, D) and values (M,) of the rows that have one."""
        rows = self.values.isfinite()
        return self.features[rows], self.values[rows]


@dataclass(frozen=True)
class Score:
    """Of a probe. f1: weighted, in [0, 1]; majority_f1: of the most frequent value; r2: of a ridge regression."""

    f1: float
    majority_f1: float
    r2: float


def as_classes(values: Tensor) -> Tensor:
    """Round true numbers to classes of a byte, int64."""
    return values.round().clamp(0, CLASSES - 1).long()


def entropy_nats(values: Tensor) -> float:
    """Return the entropy of the values, as classes."""
    shares = torch.bincount(as_classes(values)).float() / len(values)
    return float(-(shares * shares.clamp_min(1e-12).log()).sum())


def weighted_f1(predicted: Tensor, truth: Tensor) -> float:
    """F1 of each class, averaged with the weights of their true numbers. predicted, truth: (N,) int64."""
    total = 0.0
    for class_ in truth.unique():
        right = ((predicted == class_) & (truth == class_)).sum()
        both = (predicted == class_).sum() + (truth == class_).sum()
        total += float(2 * right / both) * float((truth == class_).float().mean())
    return total


def probe(train: Probed, val: Probed, test: Probed, seed: int, on_epoch: Callable[[int], None]) -> Score:
    """Train a linear classifier of a variable and measure it; on_epoch: called with the epochs done."""
    (x, y), (val_x, val_y), (test_x, test_y) = train.known(), val.known(), test.known()
    mean, std = x.mean(0), x.std(0).clamp_min(1e-6)
    x, val_x, test_x = ((part - mean) / std for part in (x, val_x, test_x))
    target, val_target, test_target = as_classes(y), as_classes(val_y), as_classes(test_y)
    draws = torch.Generator().manual_seed(seed)
    linear = nn.Linear(x.shape[1], CLASSES)
    nn.init.normal_(linear.weight, std=0.01, generator=draws)
    nn.init.zeros_(linear.bias)
    optimizer = torch.optim.Adam(linear.parameters(), LEARNING_RATE)
    best, best_epoch, state = -1.0, 0, {name: value.clone() for name, value in linear.state_dict().items()}
    for epoch in range(1, EPOCHS + 1):
        for rows in torch.randperm(len(x), generator=draws).split(BATCH):
            loss = F.cross_entropy(linear(x[rows]), target[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            accuracy = float((linear(val_x).argmax(1) == val_target).float().mean())
        if accuracy > best:
            best, best_epoch = accuracy, epoch
            state = {name: value.clone() for name, value in linear.state_dict().items()}
        on_epoch(epoch)
        if epoch - best_epoch >= PATIENCE:
            break
    linear.load_state_dict(state)
    with torch.no_grad():
        f1 = weighted_f1(linear(test_x).argmax(1), test_target)
    majority = torch.full_like(test_target, int(target.mode().values))
    return Score(f1, weighted_f1(majority, test_target), _ridge_r2(x, y, test_x, test_y))


def _ridge_r2(x: Tensor, y: Tensor, test_x: Tensor, test_y: Tensor) -> float:
    """Share of the variance of the test values that a ridge regression explains; can be negative."""
    x64, center = x.double(), y.double().mean()
    gram = x64.T @ x64 + 1e-3 * len(x) * torch.eye(x.shape[1], dtype=torch.float64)
    weights = torch.linalg.solve(gram, x64.T @ (y.double() - center))
    rest = test_y.double() - center - test_x.double() @ weights
    return float(1 - rest.square().sum() / (test_y.double() - test_y.double().mean()).square().sum().clamp_min(1e-12))
