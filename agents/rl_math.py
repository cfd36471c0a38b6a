"""The mathematics of the agents: pure functions of tensors, no state.

Suffixes: `_tm1` before the action, `_t` after. `discount_t` is gamma^n where the value goes on and 0 where it ended.
"""

from __future__ import annotations

import torch
from torch import Tensor


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
