"""Losses by which a small network learns from a large one."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def soft_target_loss(
    student: Tensor, teacher: Tensor, temperature: float | Tensor, weight: Tensor | None = None
) -> Tensor:
    """Kullback-Leibler divergence from the teacher's softened scores to the student's, averaged over the batch [nats].

    student: (B, K) logits; teacher: (B, K) logits or action values, divided by the temperature; the student's are
    logits at temperature 1. weight: (B,) how much an example counts (None: all alike); the mean of all is divided by
    the mean weight. Source: Hinton et al. 2015, "Distilling the knowledge in a neural network", section 2; for action
    values Rusu et al. 2016, "Policy distillation", eq. 3. Their temperature of 0.01 belongs to their values; see
    `temperature_of`.
    """
    target = F.softmax(teacher / temperature, 1)
    losses = F.kl_div(F.log_softmax(student, 1), target, reduction="none").sum(1)
    return losses.mean() if weight is None else (losses * weight).sum() / weight.sum().clamp_min(1e-12)


def temperature_of(values: Tensor, quantile: float) -> float:
    """A temperature in units of a teacher's action values (N, A): a quantile of the best one's lead over the mean.

    Values that differ by little where nothing is at stake then give almost equal targets, those of decisive moments
    clear ones.
    """
    lead = values.max(1).values - values.mean(1)
    return max(float(torch.quantile(lead.double(), quantile)), 1e-6)


def stakes(values: Tensor) -> Tensor:
    """How much the choice matters: the best action's value less the worst's, (N, A) -> (N,), by their mean 1.

    Source: Bastani et al. 2018, "Verifiable reinforcement learning via policy extraction", section 3.2.
    """
    span = values.max(1).values - values.min(1).values
    return span / span.mean().clamp_min(1e-12)
