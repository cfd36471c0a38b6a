"""Mixtures of Gaussians: densities as scipy's, clusters found, likelihood that rises with the components."""

from __future__ import annotations

import numpy as np
import torch
from scipy import stats

from rl_gen_lab.generators.mixture import SHRINKAGE, GaussianMixture


def codes_of(count: int = 2_000) -> torch.Tensor:
    """Two clusters, at (-3, 0) and (3, 1), of unequal spread."""
    generator = torch.Generator().manual_seed(0)
    first = torch.randn(count // 4, 2, generator=generator) * torch.tensor([0.5, 1.0]) + torch.tensor([-3.0, 0.0])
    second = torch.randn(count - count // 4, 2, generator=generator) + torch.tensor([3.0, 1.0])
    return torch.cat((first, second))


def test_one_component_is_the_gaussian_of_the_codes() -> None:
    codes = codes_of()
    mixture = GaussianMixture(1, 2).fit(codes)
    x = codes.double().numpy()
    covariance = np.cov(x.T, bias=True) + SHRINKAGE * np.diag(x.var(0, ddof=1))
    expected = stats.multivariate_normal(x.mean(0), covariance).logpdf(x[:50])
    assert np.allclose(mixture.log_prob(codes[:50].double()).numpy(), expected, atol=1e-4)


def test_two_clusters_are_found_and_drawn_from() -> None:
    mixture = GaussianMixture(2, 2).fit(codes_of(), torch.Generator().manual_seed(1))
    order = mixture.means[:, 0].argsort()
    assert torch.allclose(mixture.means[order], torch.tensor([[-3.0, 0.0], [3.0, 1.0]]), atol=0.1)
    assert torch.allclose(mixture.log_weights[order].exp(), torch.tensor([0.25, 0.75]), atol=0.02)
    draws = mixture.sample(8_000, torch.Generator().manual_seed(2))
    left = draws[draws[:, 0] < 0]
    assert abs(len(left) / 8_000 - 0.25) < 0.02
    assert torch.allclose(left.std(0), torch.tensor([0.5, 1.0]), atol=0.06)


def test_a_better_description_is_likelier() -> None:
    codes = codes_of()
    one, two = (GaussianMixture(k, 2).fit(codes, torch.Generator().manual_seed(1)) for k in (1, 2))
    assert float(two.log_prob(codes).mean()) > float(one.log_prob(codes).mean()) + 0.3


def test_equal_codes_do_not_break_it() -> None:
    mixture = GaussianMixture(3, 2).fit(torch.ones(50, 2), torch.Generator().manual_seed(0))
    assert torch.isfinite(mixture.log_prob(torch.ones(1, 2))).all()
