"""Running statistics of observations and rewards. They change only between rollouts, and never in evaluation."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

LIMIT = 10.0  # standardized values are clipped here


class RunningMeanStd(nn.Module):
    """Running mean and variance of all values given to `update`; buffers, so that they are saved with the weights.

    Source: Chan, Golub & LeVeque 1979, "Updating formulae and a pairwise algorithm for computing sample variances".
    """

    mean: Tensor
    var: Tensor
    count: Tensor

    def __init__(self, shape: tuple[int, ...] = ()) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("var", torch.ones(shape))
        self.register_buffer("count", torch.zeros(()))

    @torch.no_grad()
    def update(self, x: Tensor) -> None:
        """Take in x (B, *shape). Before the first update the mean is 0 and the variance 1."""
        if len(x) == 0:
            return
        var, mean = torch.var_mean(x.float(), 0, correction=0)
        total = self.count + len(x)
        share = len(x) / total
        step = mean - self.mean
        variance = self.var * (1 - share) + var * share + step.square() * share * (1 - share)
        self.var.copy_(torch.where(self.count > 0, variance, var))
        self.mean.add_(step * share)
        self.count.copy_(total)

    def forward(self, x: Tensor) -> Tensor:
        """Standardize x (..., *shape), clipped to +-LIMIT."""
        return ((x - self.mean) * torch.rsqrt(self.var + 1e-8)).clamp(-LIMIT, LIMIT)


class RewardScaler:
    """Division of rewards by the standard deviation of the running discounted return, so that values are of order 1.

    Source: Engstrom et al. 2020, "Implementation matters in deep policy gradients", section 3. The mean is not
    subtracted: that would change which policy is optimal where episodes differ in length. A life or point that ends the
    value does not end the running return.
    """

    def __init__(self, num_envs: int, gamma: float, device: torch.device) -> None:
        self.gamma = gamma
        self.running = torch.zeros(num_envs, device=device)
        self.moments = RunningMeanStd().to(device)

    def update(self, reward: Tensor, first: Tensor, dummy: Tensor) -> None:
        """Take in a rollout. reward: (T, N); first: (T, N) bool, begins an episode; dummy: (T, N) bool, no step."""
        returns = []
        for t in range(len(reward)):
            self.running = self.running * ~first[t] * self.gamma + reward[t]
            returns.append(self.running[~dummy[t]])
        self.moments.update(torch.cat(returns))

    def __call__(self, reward: Tensor) -> Tensor:
        """Return rewards (T, N) scaled, clipped to +-LIMIT."""
        return (reward * torch.rsqrt(self.moments.var + 1e-8)).clamp(-LIMIT, LIMIT)

    def state_dict(self) -> dict[str, Any]:
        """Return the moments and the returns under way."""
        return {"running": self.running, "moments": self.moments.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what `state_dict` returned."""
        self.running = torch.empty_like(self.running).copy_(state["running"])
        self.moments.load_state_dict(state["moments"])
