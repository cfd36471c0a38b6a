"""Distributions over actions, as small immutable values; torch's own classes cost several times as much for each step.

Actions are in the units of the policy's head: an index, indices (A,), or numbers (A,) whose -1 and 1 are the bounds
of the environment's action. `agents.rl.policy_networks.PolicyHead` converts them. Sums over A run over an action's
entries. `ActionNoise` draws them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np

from rl_gen_lab.cli.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

HALF_LOG_TWO_PI = 0.5 * math.log(2 * math.pi)
NODES = 24  # of the quadrature for the entropy of a squashed Gaussian


class Distribution(Protocol):
    """A distribution over actions for each element of a batch of any leading shape, here (...)."""

    def noise(self, generator: torch.Generator) -> Tensor:
        """Draw the noise of a sample, (..., A) float32, whose distribution does not depend on the policy."""

    def reparametrize(self, noise: Tensor) -> Tensor:
        """Return the sample determined by this noise: (...) or (..., A)."""

    def mode(self) -> Tensor:
        """Return the most probable actions, shaped as `sample`."""

    def log_prob(self, action: Tensor) -> Tensor:
        """Return the log-probability (density) of `action` [nats]: (...)."""

    def entropy(self) -> Tensor:
        """Return the entropy [nats]: (...)."""

    def sample(self, generator: torch.Generator) -> Tensor:
        """Draw actions: `reparametrize` of new `noise`."""
        return self.reparametrize(self.noise(generator))

    def __getitem__(self, rows: slice | int) -> Self:
        """Return the distributions of these rows of the first dimension."""
        return type(self)(*(part[rows] if isinstance(part, torch.Tensor) else part for part in vars(self).values()))


@dataclass(frozen=True)
class Categorical(Distribution):
    """A distribution over K discrete actions, or, if `joint`, over actions of A independent discrete entries.

    log_probs: (..., K) float32, or (..., A, K) if joint; normalized over K. Actions: (...) or (..., A) int64.
    """

    log_probs: Tensor
    joint: bool = False

    @classmethod
    def from_logits(cls, logits: Tensor, joint: bool = False) -> Categorical:
        """Normalize logits."""
        return cls(logits.log_softmax(-1), joint)

    def noise(self, generator: torch.Generator) -> Tensor:
        """Draw exponential waiting times (the Gumbel-max trick)."""
        return torch.empty_like(self.log_probs).exponential_(generator=generator)

    def reparametrize(self, noise: Tensor) -> Tensor:
        """Return the action of the shortest waiting time, each at the rate of its probability."""
        return (self.log_probs - noise.log()).argmax(-1)

    def mode(self) -> Tensor:
        """Return the most probable action."""
        return self.log_probs.argmax(-1)

    def log_prob(self, action: Tensor) -> Tensor:
        """Return the log-probability of `action`, summed over A."""
        return self._sum(self.log_probs.gather(-1, action[..., None]).squeeze(-1))

    def entropy(self) -> Tensor:
        """Return -sum p log p, summed over A."""
        return self._sum(-(self.log_probs.exp() * self.log_probs).sum(-1))

    def _sum(self, entries: Tensor) -> Tensor:
        return entries.sum(-1) if self.joint else entries


@dataclass(frozen=True)
class Gaussian(Distribution):
    """Independent normal distributions of the A entries, or, if `squashed`, their tanh, within (-1, 1).

    Squashed actions are stored before the tanh, whose inverse is unstable near 1. Source: Haarnoja et al. 2018, "Soft
    actor-critic", appendix C. mean, log_std: (..., A).
    """

    mean: Tensor
    log_std: Tensor
    squashed: bool = False

    def noise(self, generator: torch.Generator) -> Tensor:
        """Draw standard normal numbers."""
        return torch.empty_like(self.mean).normal_(generator=generator)

    def reparametrize(self, noise: Tensor) -> Tensor:
        """Return mean + std * noise, before a tanh."""
        return self.mean + self.log_std.exp() * noise

    def mode(self) -> Tensor:
        """Return the mean; before a tanh that is the median, the peak of the density may lie at a bound."""
        return self.mean

    def log_prob(self, action: Tensor) -> Tensor:
        """Return the log density of `action` (..., A), or of tanh(action)."""
        z = (action - self.mean) * torch.exp(-self.log_std)
        log_density = (-0.5 * z * z - self.log_std - HALF_LOG_TWO_PI).sum(-1)
        return log_density - log_slope_of_tanh(action).sum(-1) if self.squashed else log_density

    def entropy(self) -> Tensor:
        """Return 1/2 + log sqrt(2 pi) + log std, plus the mean of log tanh' (see `mean_log_slope`), summed over A."""
        before = (0.5 + HALF_LOG_TWO_PI + self.log_std).sum(-1)
        return before + mean_log_slope(self.mean, self.log_std).sum(-1) if self.squashed else before


def log_slope_of_tanh(u: Tensor) -> Tensor:
    """Return log(1 - tanh(u)^2) elementwise, stable for large u."""
    return 2.0 * (math.log(2.0) - u - torch.nn.functional.softplus(-2.0 * u))


def mean_log_slope(mean: Tensor, log_std: Tensor) -> Tensor:
    """Return the mean of log tanh' over normal distributions, by Gauss-Hermite quadrature: no noise in the gradient."""
    at, parts = np.polynomial.hermite_e.hermegauss(NODES)
    nodes, weights = (torch.as_tensor(x, dtype=mean.dtype, device=mean.device) for x in (at, parts / parts.sum()))
    return log_slope_of_tanh(mean[..., None] + log_std.exp()[..., None] * nodes) @ weights


class ActionNoise:
    """Draws actions for N environments, each with noise of its own that lasts `hold_steps` vector steps.

    The environments draw new noise one after another, not all at once. With hold_steps above 1 successive actions are
    correlated; the policy gradient ignores this, as Stable-Baselines3 does with `sde_sample_freq`. Source: Raffin et
    al. 2022, "Smooth exploration for robotic reinforcement learning", section 3.2, without its state-dependent part.
    """

    def __init__(self, hold_steps: int, num_envs: int, generator: torch.Generator) -> None:
        self.hold_steps, self.generator = hold_steps, generator
        self.phase = torch.arange(num_envs, device=generator.device) * hold_steps // num_envs
        self.held: Tensor | None = None
        self.steps = 0

    def sample(self, policy: Distribution) -> Tensor:
        """Draw actions (N,) or (N, A) of a policy over (N,)."""
        fresh = policy.noise(self.generator)
        if self.hold_steps == 1:
            return policy.reparametrize(fresh)
        due = (self.phase + self.steps) % self.hold_steps == 0
        due = due.view(-1, *[1] * (fresh.dim() - 1))
        fits = self.held is not None and (self.held.shape, self.held.dtype) == (fresh.shape, fresh.dtype)
        self.held = torch.where(due, fresh, self.held) if fits else fresh  # type: ignore[arg-type]
        self.steps += 1
        return policy.reparametrize(self.held)

    def state_dict(self) -> dict[str, Any]:
        """Return the noise under way; its generator is saved by its owner."""
        return {"held": self.held, "steps": self.steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what `state_dict` returned."""
        self.held = None if (held := state["held"]) is None else held.to(self.phase.device)
        self.steps = int(state["steps"])
