"""Bounds on the log-likelihood of an image, in nats; `BITS` converts."""

from __future__ import annotations

import math

import torch
from torch import Tensor

BITS = 1 / math.log(2)  # bits of a nat


def kl_to_standard_normal(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, exp(log_variance)) || N(0, 1)) of each number, the shape of `mean` [nats].

    Source: Kingma & Welling 2014, "Auto-encoding variational Bayes", appendix B.
    """
    return 0.5 * (mean.square() + log_variance.exp() - log_variance - 1)


def normal_log_density(x: Tensor, mean: Tensor | float = 0.0, log_variance: Tensor | float = 0.0) -> Tensor:
    """Log density of independent Gaussians, summed over the last dimension [nats]."""
    log_variance = torch.as_tensor(log_variance, dtype=x.dtype, device=x.device)
    terms = (x - mean).square() * (-log_variance).exp() + log_variance + math.log(2 * math.pi)
    return -0.5 * terms.sum(-1)


def free_bits_kl(kl: Tensor, bits: float) -> Tensor:
    """KL (B, Z) -> (B,), each number costing at least `bits` on average over the batch.

    Source: Kingma et al. 2016, "Improved variational inference with inverse autoregressive flow", eq. 15.
    """
    if bits == 0:
        return kl.sum(1)
    free = bits / BITS
    mean = kl.mean(0)  # below the limit a constant, so that nothing pushes this number further
    return (torch.where(mean > free, kl, free)).sum(1)


def importance_weighted_bound(log_weights: Tensor) -> Tensor:
    """log of the mean of the weights p(x, z) / q(z | x) of S codes: (S, B) -> (B,) [nats].

    The mean over draws rises with S, from the ELBO to log p(x). Source: Burda et al. 2016, "Importance weighted
    autoencoders", eq. 8.
    """
    return torch.logsumexp(log_weights, 0) - math.log(len(log_weights))
