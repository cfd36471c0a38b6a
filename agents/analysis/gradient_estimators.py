"""Estimators of the policy gradient that differ only in what multiplies the score of an action, and how good they are.

The gradient of the expected return of an episode, as it is played (a time limit is an end), is the mean over episodes
of sum_t grad log pi(a_t | s_t) * A_t (Sutton & Barto 2018, section 13.3). Every estimator here is this sum with its own
A_t.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from agents.rl import ops
from agents.rl.baselines import leave_one_out
from rl_gen_lab.cli.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

    from agents.rl.policy_networks import ActorCritic

Kind = Literal["whole return", "none", "mean", "constant", "leave-one-out", "learned", "gae"]


@dataclass(frozen=True)
class Estimator:
    """Weight of an action's score.

    whole return: the episode's return, rewards before the action too (Williams 1992). none: the return-to-go. mean,
    constant, leave-one-out, learned: the same less the mean of the batch, a number known beforehand, for each time step
    the mean of the other episodes, or a value network. gae: generalized advantages at `lambda_` (1: as learned).
    """

    kind: Kind
    gamma: float = 1.0
    lambda_: float = 1.0


@dataclass(frozen=True)
class Episodes:
    """E whole episodes, an episode to a column.

    obs: (T, E, ...); action: (T, E) or (T, E, A), as the policy's head samples it; reward: (T, E) float32, 0 after
    an end; mask: (T, E) float32, 1 up to an episode's end.
    """

    obs: Tensor
    action: Tensor
    reward: Tensor
    mask: Tensor


def returns_to_go(episodes: Episodes, gamma: float) -> Tensor:
    """(T, E), 0 after an episode's end."""
    return ops.returns_to_go(episodes.reward, torch.full_like(episodes.reward, gamma)) * episodes.mask


def advantages(estimator: Estimator, episodes: Episodes, value: Tensor | None, constant: float) -> Tensor:
    """Return the advantages, (T, E), 0 after an episode's end.

    value: (T, E), of the observations, for `learned` and `gae`; constant: for `constant`. Both at the estimator's
    gamma.
    """
    returns, mask = returns_to_go(episodes, estimator.gamma), episodes.mask
    match estimator.kind:
        case "whole return":
            advantage = returns[:1].expand_as(returns)
        case "none":
            advantage = returns
        case "mean":
            advantage = returns - ops.masked_mean(returns, mask)
        case "constant":
            advantage = returns - constant
        case "leave-one-out":
            advantage = returns - leave_one_out(returns)
        case "learned" | "gae":
            assert value is not None
            value = value * mask
            following = torch.cat([value[1:], torch.zeros_like(value[:1])])
            discount = torch.full_like(value, estimator.gamma)
            lambda_ = estimator.lambda_ if estimator.kind == "gae" else 1.0
            advantage = ops.gae(episodes.reward, discount, value, following, torch.full_like(value, lambda_))
    return advantage * mask


def scores(network: ActorCritic, obs: Tensor, action: Tensor) -> Tensor:
    """grad log pi(a | s) of each of B steps by itself, (B, P) over the P parameters of the policy.

    obs: (B, ...); action: (B,) or (B, A). The network has no critic.
    """
    parameters = {name: parameter.detach() for name, parameter in network.named_parameters()}
    first = torch.zeros(1, 1, dtype=torch.bool)

    def log_prob(parameters: dict[str, Tensor], obs: Tensor, action: Tensor) -> Tensor:
        output = torch.func.functional_call(network, parameters, (obs[None, None], first, None))
        return output.policy.log_prob(action[None, None])[0, 0]

    gradients_by_step = torch.func.vmap(torch.func.grad(log_prob), in_dims=(None, 0, 0))(parameters, obs, action)
    return torch.cat([gradients_by_step[name].flatten(1) for name in parameters], 1)


def gradients(network: ActorCritic, episodes: Episodes, weights: Tensor, chunk_steps: int = 1_024) -> Tensor:
    """The estimates (K, P) of K estimators from the same episodes; weights: (K, T, E), their `advantages`."""
    steps = episodes.mask.bool()
    obs, action, weight = episodes.obs[steps], episodes.action[steps], weights[:, steps]
    total: Tensor | float = 0.0
    for part in torch.arange(len(obs)).split(chunk_steps):
        total = total + weight[:, part] @ scores(network, obs[part], action[part])
    assert isinstance(total, torch.Tensor)
    return total / episodes.mask.shape[1]


@dataclass(frozen=True)
class Moments:
    """Mean and variance of K estimators over M batches: (K, P) float64; (K,), summed over the parameters; M."""

    mean: Tensor
    variance: Tensor
    batches: int


def estimator_moments(estimates: Iterable[Tensor]) -> Moments:
    """Compute the `Moments` of estimates (K, P), one for each batch, at least two."""
    count, mean, squares = 0, torch.zeros(()), torch.zeros(())
    for estimate in estimates:
        count += 1
        step = estimate.double() - mean  # Welford 1962
        mean = mean + step / count
        squares = squares + (step * (estimate.double() - mean)).sum(1)
    return Moments(mean, squares / (count - 1), count)


@dataclass(frozen=True)
class Quality:
    """Bias, variance and cosine similarity of an estimator, relative to the length of the true gradient.

    variance: of an estimate from one batch, summed over parameters, as a share of the squared length; bias: length of
    (mean - truth), the noise of both taken off; cosine: of the mean with the truth; noise: what a bias of 0 would look
    like with so many batches; a bias below it cannot be told from 0.
    """

    variance: float
    bias: float
    cosine: float
    noise: float


def estimator_quality(measured: Moments, reference: Moments) -> list[Quality]:
    """Compare each of K estimators with the first of `reference`, which has episodes of its own and is not zero."""
    gradient = reference.mean[0]
    length = float(gradient.norm())
    qualities = []
    for mean, variance in zip(measured.mean, measured.variance, strict=True):
        noise = float(variance) / measured.batches + float(reference.variance[0]) / reference.batches
        bias = float((mean - gradient).square().sum()) - noise
        cosine = float(mean @ gradient / (mean.norm() * length).clamp_min(1e-300))  # 0 for a mean without a direction
        qualities.append(
            Quality(float(variance) / length**2, max(bias, 0.0) ** 0.5 / length, cosine, noise**0.5 / length)
        )
    return qualities


def stack(
    estimators: Sequence[Estimator],
    episodes: Episodes,
    values: Mapping[float, Tensor],
    constants: Mapping[float, float],
) -> Tensor:
    """Stack the `advantages` of each estimator, (K, T, E); values, constants: by gamma."""
    return torch.stack([advantages(e, episodes, values.get(e.gamma), constants.get(e.gamma, 0.0)) for e in estimators])
