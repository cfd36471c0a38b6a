"""Distributions over actions, as small immutable values; torch's own classes cost several times as much for each step.

Actions are in the units of the policy's head: an index, or numbers (A,) whose -1 and 1 are the bounds of the
environment's action. `agents.rl.policy_networks.PolicyHead` converts them. Sums over A run over an action's entries.
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
    """A distribution over actions for each element of a batch of any leading shape, here (...)."""

    def noise(self, generator: torch.Generator) -> Tensor:
        """Draw the noise of a sample, (..., A) float32, whose distribution does not depend on the policy."""

    def chosen_by(self, noise: Tensor) -> Tensor:
        """Return the actions that noise turns the policy into (reparametrization): (...) int64 or (..., A) float32."""

    def sample(self, generator: torch.Generator) -> Tensor:
        """Draw actions: `chosen_by` of new `noise`."""

    def mode(self) -> Tensor:
        """Return the most probable actions, shaped as `sample`."""

    def log_prob(self, action: Tensor) -> Tensor:
        """Return the log-probability (density) of `action` [nats]: (...)."""

    def entropy(self) -> Tensor:
        """Return the entropy [nats]: (...)."""

    def __getitem__(self, rows: slice | int) -> Distribution:
        """Return the distributions of these rows of the first dimension."""


@dataclass(frozen=True)
class Categorical:
    """A distribution over A discrete actions. log_probs: (..., A) float32, normalized."""

    log_probs: Tensor

    @classmethod
    def from_logits(cls, logits: Tensor) -> Categorical:
        """Normalize logits (..., A)."""
        return cls(logits.log_softmax(-1))

    def noise(self, generator: torch.Generator) -> Tensor:
        """Draw exponential waiting times (the Gumbel-max trick)."""
        return torch.empty_like(self.log_probs).exponential_(generator=generator)

    def chosen_by(self, noise: Tensor) -> Tensor:
        """Return the action of the shortest waiting time, each at the rate of its probability."""
        return (self.log_probs - noise.log()).argmax(-1)

    def sample(self, generator: torch.Generator) -> Tensor:
        """Draw actions (...)."""
        return self.chosen_by(self.noise(generator))

    def mode(self) -> Tensor:
        """Return the most probable action."""
        return self.log_probs.argmax(-1)

    def log_prob(self, action: Tensor) -> Tensor:
        """Return the log-probability of `action` (...) int64."""
        return self.log_probs.gather(-1, action[..., None]).squeeze(-1)

    def entropy(self) -> Tensor:
        """Return -sum p log p."""
        return -(self.log_probs.exp() * self.log_probs).sum(-1)

    def __getitem__(self, rows: slice | int) -> Categorical:
        return Categorical(self.log_probs[rows])


@dataclass(frozen=True)
class Gaussian:
    """Independent normal distributions of the A entries. mean, log_std: (..., A)."""

    mean: Tensor
    log_std: Tensor

    def noise(self, generator: torch.Generator) -> Tensor:
        """Draw standard normal numbers."""
        return torch.empty_like(self.mean).normal_(generator=generator)

    def chosen_by(self, noise: Tensor) -> Tensor:
        """Return mean + std * noise."""
        return self.mean + self.log_std.exp() * noise

    def sample(self, generator: torch.Generator) -> Tensor:
        """Draw actions (..., A)."""
        return self.chosen_by(self.noise(generator))

    def mode(self) -> Tensor:
        """Return the mean."""
        return self.mean

    def log_prob(self, action: Tensor) -> Tensor:
        """Return the log density of `action` (..., A)."""
        z = (action - self.mean) * torch.exp(-self.log_std)
        return (-0.5 * z * z - self.log_std - HALF_LOG_TWO_PI).sum(-1)

    def entropy(self) -> Tensor:
        """Return 1/2 + log sqrt(2 pi) + log std, summed over A."""
        return (0.5 + HALF_LOG_TWO_PI + self.log_std).sum(-1)

    def __getitem__(self, rows: slice | int) -> Gaussian:
        return Gaussian(self.mean[rows], self.log_std[rows])


@dataclass(frozen=True)
class SquashedGaussian:
    """The tanh of a Gaussian, within (-1, 1). Actions are stored before the tanh, whose inverse is unstable near 1.

    Source: Haarnoja et al. 2018, "Soft actor-critic", appendix C. mean, log_std: (..., A).
    """

    mean: Tensor
    log_std: Tensor

    @property
    def _before(self) -> Gaussian:
        return Gaussian(self.mean, self.log_std)

    def noise(self, generator: torch.Generator) -> Tensor:
        """Draw standard normal numbers."""
        return self._before.noise(generator)

    def chosen_by(self, noise: Tensor) -> Tensor:
        """Return actions before the tanh."""
        return self._before.chosen_by(noise)

    def sample(self, generator: torch.Generator) -> Tensor:
        """Draw actions before the tanh."""
        return self._before.sample(generator)

    def mode(self) -> Tensor:
        """Return the median, before the tanh; the peak of the density may lie at a bound."""
        return self.mean

    def log_prob(self, action: Tensor) -> Tensor:
        """Return the log density of tanh(action), for `action` (..., A) before the tanh."""
        return self._before.log_prob(action) - log_slope_of_tanh(action).sum(-1)

    def entropy(self) -> Tensor:
        """Return Gaussian entropy plus the mean of log tanh', by Gauss-Hermite quadrature: no noise in the gradient."""
        nodes, weights = (torch.as_tensor(x, dtype=self.mean.dtype, device=self.mean.device) for x in _hermite())
        u = self.mean[..., None] + self.log_std.exp()[..., None] * nodes
        return self._before.entropy() + (log_slope_of_tanh(u) @ weights).sum(-1)

    def __getitem__(self, rows: slice | int) -> SquashedGaussian:
        return SquashedGaussian(self.mean[rows], self.log_std[rows])


def log_slope_of_tanh(u: Tensor) -> Tensor:
    """Return log(1 - tanh(u)^2) elementwise, stable for large u."""
    return 2.0 * (math.log(2.0) - u - F.softplus(-2.0 * u))


def _hermite() -> tuple[np.ndarray, np.ndarray]:
    """Return nodes and weights that integrate against the standard normal density."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
    return nodes, weights / weights.sum()
