"""Margins that no change of a few gray levels can undo, by interval bounds: to certify choices, and to learn them.

Source: Gowal et al. 2018, "On the effectiveness of interval bound propagation for training verifiably robust models",
section 3; for agents Zhang et al. 2020, "Robust deep reinforcement learning against adversarial perturbations on state
observations", section 3.4.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rl_gen_lab.explain.interval_bounds import Interval


def margin_bounds(features: Interval, head: nn.Module) -> Tensor:
    """Return for each pair of outputs of a last layer the least that the first exceeds the second by, (B, K, K).

    features: of the layer's input, (B, D). The difference of two outputs of a linear layer is one linear function, so
    its bound is tighter than the difference of their bounds, which serves for layers that are not linear.
    """
    if not isinstance(head, nn.Linear):
        outputs: Interval = head(features)
        ends = outputs.low[:, :, None] - outputs.high[:, None]
        return ends.masked_fill(torch.eye(ends.shape[1], dtype=torch.bool), 0.0)
    between = head.weight[:, None] - head.weight[None]  # (K, K, D)
    least = torch.einsum("bd,ijd->bij", features.middle, between)
    least = least - torch.einsum("bd,ijd->bij", features.radius, between.abs())
    return least if head.bias is None else least + (head.bias[:, None] - head.bias[None])


def certified(margins: Tensor, chosen: Tensor) -> Tensor:
    """Return whether no input of the box has another largest output than the chosen one, (B,) bool.

    margins: (B, K, K), as of `margin_bounds`; chosen: (B,) int64.
    """
    own = margins[torch.arange(len(chosen)), chosen]
    others = F.one_hot(chosen, own.shape[1]) == 0
    return ((own > 0) | ~others).all(1)


def worst_soft_target_loss(
    margins: Tensor, teacher: Tensor, temperature: float = 1.0, weight: Tensor | None = None
) -> Tensor:
    """Bound on the divergence from softened scores for every input of a box, averaged over the batch [nats].

    The divergence of `soft_target_loss` is the mean, by the teacher, of log(sum of exponentials) of minus the margins,
    less the teacher's entropy; with the least margins it is no smaller than for any input of the box. margins:
    (B, K, K), of logits at temperature 1; teacher, weight: as in `soft_target_loss`.
    """
    target = F.softmax(teacher / temperature, 1)
    losses = (target * (torch.logsumexp(-margins, 2) + F.log_softmax(teacher / temperature, 1))).sum(1)
    return losses.mean() if weight is None else (losses * weight).sum() / weight.sum().clamp_min(1e-12)
