"""The variational autoencoder: its bound by hand, its schedules, codes that carry what they cost."""

from __future__ import annotations

from typing import cast

import generator_models
import pytest
import torch
import vision_data

from rl_gen_lab.generators.vae import FIRST_LOG_VARIANCE, VariationalAutoencoder


def model_of(**settings: object) -> VariationalAutoencoder:
    return cast(VariationalAutoencoder, generator_models.task_of(**settings).model)


@pytest.mark.slow
def test_eight_images_cost_little_more_than_three_bits_and_the_objects_are_there() -> None:
    task = generator_models.task_of(weighting="rare", weight=3.0, weight_after_updates=50)
    _, metrics = vision_data.learn_by_heart(task, 150, 7e-3)
    assert metrics["found/ball"] == metrics["found/paddle"] == 1.0, metrics
    alone = generator_models.task_of(model="factorised").evaluate(vision_data.eight(), lambda done: None)
    assert -metrics["elbo_bits"] < 0.3 * -alone["elbo_bits"]
    assert metrics["code_bits"] > 3.0  # which of eight images it is
    assert metrics["elbo_bits"] == pytest.approx(metrics["log_likelihood_bits"] - metrics["code_bits"], abs=1e-3)


def test_the_bound_is_reconstruction_minus_divergence_by_torchs_own_distributions() -> None:
    model, images = model_of().eval(), vision_data.eight().images
    with torch.no_grad():
        mean, log_variance = model.posterior(images)
        bound = model.bound(images, torch.Generator().manual_seed(3))
        noise = torch.randn(mean.shape, generator=torch.Generator().manual_seed(3))
        out = model.decode(mean + (0.5 * log_variance).exp() * noise)
        expected = torch.distributions.Categorical(logits=(out + model.likelihood.background).permute(0, 2, 3, 1))
        log_likelihood = expected.log_prob(model.likelihood.palette.index(images)).sum((1, 2))
        posterior = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
        divergence = torch.distributions.kl_divergence(posterior, torch.distributions.Normal(0.0, 1.0)).sum(1)
    assert torch.allclose(bound.log_likelihood, log_likelihood, rtol=1e-4)
    assert torch.allclose(bound.code_length, divergence, rtol=1e-4)


def test_the_weight_of_the_code_rises_with_the_updates_and_is_saved_with_them() -> None:
    model = model_of(beta=2.0, beta_updates=4)
    weights = []
    for _ in range(6):
        weights.append(float(model.losses(vision_data.eight().images, None)["beta"].detach()))
    assert weights == [0.0, 0.5, 1.0, 1.5, 2.0, 2.0]
    assert int(model.state_dict()["updates"]) == 6
    assert model_of(beta=2.0, beta_updates=0).beta() == 2.0


def test_a_new_posterior_is_narrow() -> None:
    with torch.no_grad():
        _, log_variance = model_of().posterior(vision_data.eight().images)
    assert float((log_variance - FIRST_LOG_VARIANCE).abs().max()) < 3


def test_importance_weighted_bounds_rise_with_the_number_of_codes() -> None:
    model, images = model_of().eval(), vision_data.eight().images
    with torch.no_grad():
        model.encoder.last.bias[8:] += 5.0  # a posterior that is too wide
        bounds = [
            float(torch.stack([model.importance_bound(images, samples, None).mean() for _ in range(40)]).mean())
            for samples in (1, 4, 16)
        ]
        elbo = torch.stack([(b := model.bound(images, None)).log_likelihood - b.code_length for _ in range(40)])
    assert bounds[0] < bounds[1] < bounds[2]
    assert bounds[0] == pytest.approx(float(elbo.mean()), rel=0.03)


def test_the_importance_weighted_loss_has_a_gradient_and_one_code_is_the_elbo() -> None:
    model = model_of(importance_samples=4)
    loss = model.losses(vision_data.eight().images, None)["loss"]
    loss.backward()
    assert all(weight.grad is not None for weight in model.encoder.parameters())
    torch.manual_seed(1)
    one = model_of(beta_updates=0).losses(vision_data.eight().images, None)
    kl, pixels = float(one["code_nats"]), float(one["reconstruction_nats"])
    assert float(one["loss"].detach()) == pytest.approx(kl + pixels, rel=1e-5)
