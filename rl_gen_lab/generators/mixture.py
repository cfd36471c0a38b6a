"""A mixture of Gaussians: a density of codes, and a prior that samples can be drawn from."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

SHRINKAGE = 1e-3  # share of the overall variance added to each covariance, so that none collapses to a point
ROUNDS, TOLERANCE = 100, 1e-4  # of expectation maximization; nats per code by which a round must gain


class GaussianMixture(nn.Module):
    """K Gaussians with full covariances. Source: Dempster et al. 1977; Bishop 2006, section 9.2.2."""

    log_weights: Tensor
    means: Tensor
    roots: Tensor

    def __init__(self, components: int, dimensions: int) -> None:
        super().__init__()
        self.register_buffer("log_weights", torch.zeros(components))
        self.register_buffer("means", torch.zeros(components, dimensions))
        self.register_buffer("roots", torch.eye(dimensions).repeat(components, 1, 1))  # Cholesky factors

    @torch.no_grad()
    def fit(self, codes: Tensor, generator: torch.Generator | None = None) -> GaussianMixture:
        """Fit the codes (N, Z); begins at codes far from each other (k-means++). Returns itself."""
        x = codes.double()
        shares = torch.nn.functional.one_hot(self._nearest_seeds(x, generator), len(self.means)).double()
        before = -math.inf
        for _ in range(ROUNDS):
            self._maximize(x, shares)
            joint = self._joint(x)
            shares = joint.softmax(1)
            now = float(joint.logsumexp(1).mean())
            if now - before < TOLERANCE:
                break
            before = now
        return self

    def _nearest_seeds(self, x: Tensor, generator: torch.Generator | None) -> Tensor:
        """Choose a seed after the other, more likely the farther from the others; return the nearest of each code."""
        chosen = [int(torch.randint(len(x), (1,), generator=generator))]
        distances = (x - x[chosen[0]]).square().sum(1)
        while len(chosen) < len(self.means):
            chosen.append(int(torch.multinomial(distances + 1e-12, 1, generator=generator)))
            distances = torch.minimum(distances, (x - x[chosen[-1]]).square().sum(1))
        return torch.cdist(x, x[chosen]).argmin(1)

    def _maximize(self, x: Tensor, shares: Tensor) -> None:
        counts = shares.sum(0).clamp_min(1e-9)
        means = shares.T @ x / counts[:, None]
        floor = SHRINKAGE * x.var(0).clamp_min(1e-9).diag()
        for k, mean in enumerate(means):
            centered = x - mean
            covariance = (shares[:, k, None] * centered).T @ centered / counts[k] + floor
            self.roots[k] = torch.linalg.cholesky(covariance).to(self.roots)
        self.means.copy_(means)
        self.log_weights.copy_((counts / counts.sum()).log())

    def _joint(self, x: Tensor) -> Tensor:
        """log of weight times density of each Gaussian, (N, K)."""
        columns = []
        for log_weight, mean, root in zip(self.log_weights, self.means, self.roots.to(x), strict=True):
            scaled = torch.linalg.solve_triangular(root, (x - mean).T, upper=False)
            log_root = root.diagonal().log().sum()
            columns.append(log_weight - log_root - 0.5 * (scaled.square().sum(0) + x.shape[1] * math.log(2 * math.pi)))
        return torch.stack(columns, 1)

    def log_prob(self, codes: Tensor) -> Tensor:
        """codes: (B, Z) -> log density (B,) [nats]."""
        return self._joint(codes).logsumexp(1)

    def sample(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw codes, (count, Z)."""
        which = torch.multinomial(self.log_weights.exp(), count, replacement=True, generator=generator)
        noise = torch.randn(count, self.means.shape[1], 1, generator=generator, device=self.means.device)
        return self.means[which] + (self.roots[which] @ noise)[..., 0]
