"""Distributions over actions, as small values made of tensors; torch's own cost several times as much for each step.

An action here is what the network speaks: an index, or numbers (A,) in which -1 and 1 are the bounds of the world's
action. `agents.rl.policy_networks.PolicyHead` translates. Sums over A are over the entries of one action.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

HALF_LOG_TWO_PI = 0.5 * math.log(2 * math.pi)
NODES = 24  # of the quadrature for the entropy of a squashed Gaussian


class Distribution(Protocol):
    """What a policy says about the actions of a batch of any leading shape, here (...)."""

    def noise(self, generator: torch.Generator) -> Tensor:
        """All that is random in a draw, (..., A) float32; distributed alike whatever the policy says."""

    def chosen_by(self, noise: Tensor) -> Tensor:
        """The actions that this noise makes of the policy: (...) int64 or (..., A) float32."""

    def sample(self, generator: torch.Generator) -> Tensor:
        """Random actions: `chosen_by` of a new `noise`."""

    def mode(self) -> Tensor:
        """The likeliest actions, as `sample`."""

    def log_prob(self, action: Tensor) -> Tensor:
        """Log probability (density) of `action` [nats]: (...)."""

    def entropy(self) -> Tensor:
        """Entropy [nats]: (...)."""

    def __getitem__(self, rows: slice | int) -> Distribution:
        """Of these rows of the first dimension alone."""


@dataclass(frozen=True)
class Categorical:
    """log_probs: (..., A) float32, normalized."""

    log_probs: Tensor

    @classmethod
    def from_logits(cls, logits: Tensor) -> Categorical:
        """logits: (..., A), any constant added."""
        return cls(logits.log_softmax(-1))

    def noise(self, generator: torch.Generator) -> Tensor:
        """Exponential waiting times, for the Gumbel trick."""
        return torch.empty_like(self.log_probs).exponential_(generator=generator)

    def chosen_by(self, noise: Tensor) -> Tensor:
        """The action whose waiting time, at a rate of its probability, is the smallest."""
        return (self.log_probs - noise.log()).argmax(-1)

    def sample(self, generator: torch.Generator) -> Tensor:
        """Random actions (...)."""
        return self.chosen_by(self.noise(generator))

    def mode(self) -> Tensor:
        """The likeliest action."""
        return self.log_probs.argmax(-1)

    def log_prob(self, action: Tensor) -> Tensor:
        """action: (...) int64."""
        return self.log_probs.gather(-1, action[..., None]).squeeze(-1)

    def entropy(self) -> Tensor:
        """-sum p log p."""
        return -(self.log_probs.exp() * self.log_probs).sum(-1)

    def __getitem__(self, rows: slice | int) -> Categorical:
        return Categorical(self.log_probs[rows])


@dataclass(frozen=True)
class Gaussian:
    """Independent normal entries. mean, log_std: (..., A)."""

    mean: Tensor
    log_std: Tensor

    def noise(self, generator: torch.Generator) -> Tensor:
        """Standard normal numbers."""
        return torch.empty_like(self.mean).normal_(generator=generator)

    def chosen_by(self, noise: Tensor) -> Tensor:
        """mean + std * noise."""
        return self.mean + self.log_std.exp() * noise

    def sample(self, generator: torch.Generator) -> Tensor:
        """Random actions (..., A)."""
        return self.chosen_by(self.noise(generator))

    def mode(self) -> Tensor:
        """The mean."""
        return self.mean

    def log_prob(self, action: Tensor) -> Tensor:
        """Log density of `action` (..., A)."""
        z = (action - self.mean) * torch.exp(-self.log_std)
        return (-0.5 * z * z - self.log_std - HALF_LOG_TWO_PI).sum(-1)

    def entropy(self) -> Tensor:
        """1/2 + log sqrt(2 pi) + log std, summed."""
        return (0.5 + HALF_LOG_TWO_PI + self.log_std).sum(-1)

    def __getitem__(self, rows: slice | int) -> Gaussian:
        return Gaussian(self.mean[rows], self.log_std[rows])


@dataclass(frozen=True)
class SquashedGaussian:
    """tanh of a Gaussian: never outside (-1, 1). Actions are kept as they are before the tanh, where it is invertible.

    Source: Haarnoja et al. 2018, "Soft actor-critic", appendix C. mean, log_std: (..., A).
    """

    mean: Tensor
    log_std: Tensor

    @property
    def _before(self) -> Gaussian:
        return Gaussian(self.mean, self.log_std)

    def noise(self, generator: torch.Generator) -> Tensor:
        """Standard normal numbers."""
        return self._before.noise(generator)

    def chosen_by(self, noise: Tensor) -> Tensor:
        """Before the tanh."""
        return self._before.chosen_by(noise)

    def sample(self, generator: torch.Generator) -> Tensor:
        """Before the tanh."""
        return self._before.sample(generator)

    def mode(self) -> Tensor:
        """The median, before the tanh; the density's own peak may lie at a bound."""
        return self.mean

    def log_prob(self, action: Tensor) -> Tensor:
        """Log density of tanh(action), action (..., A) before the tanh."""
        return self._before.log_prob(action) - log_slope_of_tanh(action).sum(-1)

    def entropy(self) -> Tensor:
        """Entropy before the tanh plus the mean of log tanh', by Gauss-Hermite quadrature: no noise in the gradient."""
        nodes, weights = (torch.as_tensor(x, dtype=self.mean.dtype, device=self.mean.device) for x in _hermite())
        u = self.mean[..., None] + self.log_std.exp()[..., None] * nodes
        return self._before.entropy() + (log_slope_of_tanh(u) @ weights).sum(-1)

    def __getitem__(self, rows: slice | int) -> SquashedGaussian:
        return SquashedGaussian(self.mean[rows], self.log_std[rows])


def log_slope_of_tanh(u: Tensor) -> Tensor:
    """log(1 - tanh(u)^2), stable for large u. Elementwise."""
    return 2.0 * (math.log(2.0) - u - F.softplus(-2.0 * u))


def _hermite() -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights that integrate against the standard normal density."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
    return nodes, weights / weights.sum()
