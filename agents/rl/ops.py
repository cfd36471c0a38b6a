"""The mathematics of the agents: pure functions, no state.

Suffixes: `_tm1` before the action, `_t` after. `discount_t` is gamma^n where the value goes on and 0 where it ended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from rl_gen_lab.cli.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor, nn


def anneal(start: float, end: float | None, over: float, t: float) -> float:
    """From `start` at t = 0 linearly to `end` at t = over, then constant; always `start` if end is None."""
    if end is None:
        return start
    return start + (end - start) * min(max(t / over, 0.0), 1.0) if over > 0 else end


def to_tensor(array: np.ndarray, device: torch.device) -> Tensor:
    """The array as a tensor on the device; on a CPU they share memory."""
    return torch.from_numpy(np.ascontiguousarray(array)).to(device)


def lerp_parameters(target: nn.Module, source: nn.Module, share: float) -> None:
    """Move the target's parameters toward the source's, in place; share 1 copies them. Buffers stay as they are.

    Source: Lillicrap et al. 2016, "Continuous control with deep reinforcement learning", section 3.
    """
    with torch.no_grad():
        torch._foreach_lerp_(list(target.parameters()), list(source.parameters()), share)


# ---- Q-learning


def q_learning_target(reward_t: Tensor, discount_t: Tensor, q_t: Tensor) -> Tensor:
    """n-step Q-learning target: reward + discount * max_a Q(s, a).

    Source: Watkins 1989; Mnih et al. 2015, eq. 1.
    reward_t, discount_t: (B,) float32; q_t: (B, A) float32, of the target network. Returns (B,), without gradient.
    """
    return (reward_t + discount_t * q_t.max(dim=1).values).detach()


def double_q_learning_target(reward_t: Tensor, discount_t: Tensor, q_t: Tensor, q_t_selector: Tensor) -> Tensor:
    """Double Q-learning target: the online network chooses the action, the target network values it.

    Source: van Hasselt et al. 2016, "Deep reinforcement learning with double Q-learning", eq. 4.
    reward_t, discount_t: (B,) float32; q_t: (B, A), of the target network; q_t_selector: (B, A), of the online network.
    Returns (B,), without gradient.
    """
    best = q_t_selector.argmax(dim=1, keepdim=True)
    return (reward_t + discount_t * q_t.gather(1, best).squeeze(1)).detach()


def td_error(q_tm1: Tensor, action_tm1: Tensor, target: Tensor) -> Tensor:
    """Target minus the value of the action taken. q_tm1: (B, A); action_tm1: (B,) int64; target: (B,). Returns (B,)."""
    return target - q_tm1.gather(1, action_tm1[:, None]).squeeze(1)


def huber(x: Tensor, delta: float = 1.0) -> Tensor:
    """0.5 x^2 within delta, linear beyond. Source: Huber 1964. Elementwise, any shape."""
    absolute = x.abs()
    return torch.where(absolute <= delta, 0.5 * x * x, delta * (absolute - 0.5 * delta))


# ---- policy gradients; a rollout is (T, N): T vector steps of N environments


def returns_to_go(reward_t: Tensor, discount_t: Tensor) -> Tensor:
    """Discounted sum of the rewards from each step on: G_t = r_t + discount_t * G_{t+1}, and 0 beyond the last row.

    Source: Sutton & Barto 2018, eq. 3.9. reward_t, discount_t: (T, N) float. Returns (T, N).
    """
    total = torch.zeros_like(reward_t[0])
    returns: list[Tensor] = []
    for reward, discount in _backwards(reward_t, discount_t):
        total = reward + discount * total
        returns.append(total)
    return torch.stack(returns[::-1])


def lambda_returns(reward_t: Tensor, discount_t: Tensor, value_t: Tensor, lambda_t: Tensor) -> Tensor:
    """G_t = r_t + discount_t * ((1 - lambda_t) * V_t + lambda_t * G_{t+1}); beyond the last row G is V.

    Source: Sutton & Barto 2018, eq. 12.18; lambda 0 is the one-step target, lambda 1 the n-step return that ends with
    the rollout. reward_t, discount_t: (T, N) float; value_t: (T, N), of the observation after the step (the true last
    one where an episode was cut); lambda_t: (T, N), 0 where the next row is of another episode. Returns (T, N).
    """
    following = value_t[-1]
    returns: list[Tensor] = []
    for reward, discount, value, lambda_ in _backwards(reward_t, discount_t, value_t, lambda_t):
        following = reward + discount * torch.lerp(value, following, lambda_)
        returns.append(following)
    return torch.stack(returns[::-1])


def _backwards(*rows: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """The rows of tensors of equal length, the last ones first; taking them apart at once is faster than by index."""
    return zip(*(x.unbind()[::-1] for x in rows), strict=True)


def gae(reward_t: Tensor, discount_t: Tensor, value_tm1: Tensor, value_t: Tensor, lambda_t: Tensor) -> Tensor:
    """Generalized advantage estimates: sums of TD errors, each discounted by (discount * lambda)^k; no gradient.

    Source: Schulman et al. 2016, "High-dimensional continuous control using generalized advantage estimation", eq. 16,
    computed as the lambda-return minus the value, which is the same.
    value_tm1: (T, N), of the observation before the step, equal to value_t of the row before where the episode goes on;
    the rest as for `lambda_returns`. Returns (T, N).
    """
    return (lambda_returns(reward_t, discount_t, value_t, lambda_t) - value_tm1).detach()


def masked_mean(x: Tensor, mask: Tensor) -> Tensor:
    """Mean of the entries of x where mask is 1; 0 if there are none. x, mask: same shape, float. Returns ()."""
    return (x * mask).sum() / mask.sum().clamp_min(1.0)


def standardize(x: Tensor, mask: Tensor, share: Callable[[list[Tensor]], None] = lambda sums: None) -> Tensor:
    """x with mean 0 and standard deviation 1 over the entries where mask is 1. x, mask: same shape, float.

    share: replaces sums by their means over the processes that train together, so that all entries of all count.
    """
    count, total = mask.sum(), (x * mask).sum()
    share([count, total])
    centered = x - total / count.clamp(min=1e-8)
    squares = (centered.square() * mask).sum()
    share([squares])
    return centered / ((squares / count.clamp(min=1e-8)).sqrt() + 1e-8)


def policy_gradient_loss(log_prob: Tensor, advantage: Tensor, mask: Tensor) -> Tensor:
    """Minus the mean of log pi(a|s) * advantage over the steps where mask is 1; its gradient is the policy gradient.

    Source: Williams 1992, "Simple statistical gradient-following algorithms"; Sutton & Barto 2018, eq. 13.11, without
    the factor gamma^t. log_prob, advantage, mask: same shape; no gradient flows through the advantage. Returns ().
    """
    return -masked_mean(log_prob * advantage.detach(), mask)


def clipped_surrogate_loss(
    log_prob: Tensor, log_prob_old: Tensor, advantage: Tensor, mask: Tensor, clip: float
) -> Tensor:
    """Minus the mean of min(ratio * A, clip(ratio, 1 - clip, 1 + clip) * A) over the steps where mask is 1.

    Source: Schulman et al. 2017, "Proximal policy optimization algorithms", eq. 7.
    log_prob, log_prob_old, advantage, mask: same shape. Returns ().
    """
    ratio = (log_prob - log_prob_old).exp()
    clipped = ratio.clamp(1.0 - clip, 1.0 + clip)
    return -masked_mean(torch.minimum(ratio * advantage, clipped * advantage), mask)


def approximate_kl(log_prob: Tensor, log_prob_old: Tensor, mask: Tensor) -> Tensor:
    """KL(old || new) [nats], estimated from actions of the old policy as the mean of (ratio - 1) - log ratio, >= 0.

    Source: Schulman 2020, "Approximating KL divergence", estimator k3. Arguments: same shape. Returns ().
    """
    log_ratio = log_prob - log_prob_old
    return masked_mean(log_ratio.exp() - 1.0 - log_ratio, mask)
