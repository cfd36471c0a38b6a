"""Bounds: closed forms in float64, a model whose evidence is known, the order of the importance-weighted bounds."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import stats

from rl_gen_lab.generators.bounds import (
    BITS,
    free_bits_kl,
    importance_weighted_bound,
    kl_to_standard_normal,
    normal_log_density,
)


def test_the_divergence_is_that_of_torch() -> None:
    mean, log_variance = torch.randn(2, 7, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    ours = kl_to_standard_normal(mean, log_variance)
    posterior = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    prior = torch.distributions.Normal(torch.zeros_like(mean), torch.ones_like(mean))
    assert torch.allclose(ours, torch.distributions.kl_divergence(posterior, prior), atol=1e-12)


def test_log_densities_are_those_of_scipy() -> None:
    x, mean, log_variance = torch.randn(3, 4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    expected = stats.norm(mean.numpy(), (0.5 * log_variance).exp().numpy()).logpdf(x.numpy()).sum(1)
    assert torch.allclose(normal_log_density(x, mean, log_variance), torch.from_numpy(expected), atol=1e-12)
    assert torch.allclose(normal_log_density(x), torch.from_numpy(stats.norm.logpdf(x.numpy()).sum(1)), atol=1e-12)


def test_the_bound_of_a_linear_gaussian_model_is_its_evidence_where_the_posterior_is_exact() -> None:
    """x = W z + noise: log p(x), posterior and KL in closed form; Tipping & Bishop 1999."""
    generator = torch.Generator().manual_seed(2)
    w = torch.randn(6, 2, dtype=torch.float64, generator=generator)
    x, variance = torch.randn(6, dtype=torch.float64, generator=generator), 0.3
    evidence = stats.multivariate_normal(cov=(w @ w.T + variance * torch.eye(6).double()).numpy()).logpdf(x.numpy())
    covariance = torch.linalg.inv(torch.eye(2, dtype=torch.float64) + w.T @ w / variance)
    # rotate the code so that the posterior is a product, as a VAE's is
    values, rotation = torch.linalg.eigh(covariance)
    w, mean, log_variance = w @ rotation, rotation.T @ (covariance @ w.T @ x / variance), values.log()
    squares = (x - w @ mean).square().sum() + (w.square() * values).sum()
    expected_log_likelihood = -0.5 * (squares / variance + 6 * math.log(2 * math.pi * variance))
    elbo = expected_log_likelihood - kl_to_standard_normal(mean, log_variance).sum()
    assert float(elbo) == pytest.approx(float(evidence), abs=1e-9)
    # with the exact posterior every weight is the evidence itself, so no number of codes changes the bound
    z = mean + (0.5 * log_variance).exp() * torch.randn(50, 2, dtype=torch.float64, generator=generator)
    log_p = normal_log_density(x, z @ w.T, math.log(variance)) + normal_log_density(z)
    weights = log_p - normal_log_density(z, mean, log_variance)
    assert torch.allclose(weights, torch.full_like(weights, float(evidence)), atol=1e-9)
    assert float(importance_weighted_bound(weights[:, None])) == pytest.approx(float(evidence), abs=1e-9)


def test_more_codes_bring_the_bound_closer_to_the_evidence() -> None:
    """A posterior that is too narrow and beside the truth: the bounds rise, and stay below."""
    generator = torch.Generator().manual_seed(3)
    x, variance = torch.tensor([1.5], dtype=torch.float64), 0.5
    evidence = stats.norm(0, math.sqrt(1 + variance)).logpdf(1.5)
    mean, log_variance = torch.tensor([0.6]).double(), torch.tensor([-2.0]).double()
    bounds = []
    for samples in (1, 8, 64):
        z = mean + (0.5 * log_variance).exp() * torch.randn(
            samples, 20_000, 1, dtype=torch.float64, generator=generator
        )
        log_p = normal_log_density(x, z, math.log(variance)) + normal_log_density(z)
        bounds.append(float(importance_weighted_bound(log_p - normal_log_density(z, mean, log_variance)).mean()))
    assert bounds[0] < bounds[1] < bounds[2] < evidence + 0.01
    assert evidence - bounds[2] < 0.5 * (evidence - bounds[0])


def test_free_bits_take_the_gradient_of_numbers_below_the_limit_away() -> None:
    mean = torch.tensor([[0.1, 2.0], [0.2, -2.0]], requires_grad=True)
    kl = kl_to_standard_normal(mean, torch.zeros(2, 2))
    free_bits_kl(kl, bits=0.5).mean().backward()
    assert mean.grad is not None and not mean.grad[:, 0].any() and mean.grad[:, 1].all()
    # the first number costs its limit, the second what it costs
    kl = kl.detach()
    assert float(free_bits_kl(kl, 0.5).mean()) == pytest.approx(0.5 / BITS + float(kl[:, 1].mean()))
    assert torch.equal(free_bits_kl(kl, 0.0), kl.sum(1))
