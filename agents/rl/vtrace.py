"""V-trace: values and advantages from steps that an older policy took."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rl_gen_lab.cli.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor


def vtrace(
    log_ratio: Tensor,
    reward_t: Tensor,
    discount_t: Tensor,
    value_tm1: Tensor,
    value_t: Tensor,
    lambda_t: Tensor,
    rho_bar: float = 1.0,
    c_bar: float = 1.0,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the targets of the value, the advantages and their weights in the policy's gradient; no gradient flows.

    Source: Espeholt et al. 2018, "IMPALA: Scalable distributed deep-RL with importance weighted actor-learner
    architectures", eq. 1 in its recursive form (remark 1), with traces that fade by lambda (remark 2). The target is
    V + sum_k gamma^k (prod_{i<k} lambda c_i) rho_k TD_k, the advantage r + discount * next target - V, the weight rho.
    All are (T, N). Where both policies are the same, they are lambda-returns, generalized advantages and 1. What
    standardizes advantages must do so before they are weighted: subtracting a number from rho * advantage would push
    the policy away from whatever was played.
    log_ratio: (T, N) float, log pi(a|s) of the learner minus that of the policy that acted; rho_bar, c_bar: where
    ratios are truncated; rho_bar decides which policy the values are of, c_bar how fast they are learned. Rewards,
    discounts, values and lambda_t (0 where the next row is of another episode) are as for `ops.gae`. Beyond the last
    row the target is the value.
    """
    ratio = log_ratio.exp()
    rho, c = ratio.clamp(max=rho_bar), ratio.clamp(max=c_bar)
    td = rho * (reward_t + discount_t * value_t - value_tm1)
    correction = torch.zeros_like(td[0])  # target - value of the row after
    corrections, following = [], []
    for t in reversed(range(len(td))):
        following.append(value_t[t] + lambda_t[t] * correction)
        correction = td[t] + discount_t[t] * lambda_t[t] * c[t] * correction
        corrections.append(correction)
    target = value_tm1 + torch.stack(corrections[::-1])
    advantage = reward_t + discount_t * torch.stack(following[::-1]) - value_tm1
    return target.detach(), advantage.detach(), rho.detach()
