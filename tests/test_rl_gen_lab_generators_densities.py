"""Baselines: principal components as numpy's, densities as scipy's."""

from __future__ import annotations

from typing import cast

import generator_models
import numpy as np
import pytest
import torch
import vision_data
from scipy import stats

from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.generators.densities import PrincipalComponents
from rl_gen_lab.generators.likelihoods import GaussianLikelihood


def test_components_are_those_of_numpys_singular_values() -> None:
    model = cast(PrincipalComponents, generator_models.task_of(model="pca", latents=3).model)
    x = vision_data.dataset().splits["train"].images.flatten(1).double().numpy() / 255
    _, values, directions = np.linalg.svd(x - x.mean(0), full_matrices=False)
    assert np.allclose(np.sort(model.scales.numpy())[::-1], values[:3] / len(x) ** 0.5, rtol=1e-3)
    products = np.abs(model.directions.flatten(1).numpy() @ directions[:3].T)
    assert np.allclose(products, np.eye(3)[::-1], atol=1e-2)
    codes = model.encode(vision_data.dataset().splits["train"].images)
    assert torch.allclose(codes.square().mean(0), torch.ones(3), rtol=1e-2)


def test_all_components_give_the_images_back() -> None:
    task = generator_models.task_of(model="pca", latents=15)  # of 16 images around their mean
    images = vision_data.dataset().splits["train"].images
    assert torch.equal(task.predict(images), images)


def test_one_gaussian_of_the_code_is_the_density_of_probabilistic_principal_components() -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (400, 3, 2, 2), generator=generator, dtype=torch.uint8)
    model = PrincipalComponents(GaussianLikelihood(images, learned=True), latents=4, components=1).fit(images)
    x = images.flatten(1).double().numpy() / 255
    values, vectors = np.linalg.eigh(np.cov(x.T, bias=True))
    values[:8] = values[:8].mean()  # Tipping & Bishop 1999, eq. 7 and 8
    law = stats.multivariate_normal(x.mean(0), vectors @ np.diag(values) @ vectors.T)
    bound = model.bound(images[:20], None)
    assert np.allclose((bound.log_likelihood - bound.code_length).numpy(), law.logpdf(x[:20]), atol=0.05)


def test_more_gaussians_are_likelier() -> None:
    one, four = (
        generator_models.task_of(model=model, latents=2, components=count).evaluate(
            vision_data.dataset().splits["train"], lambda done: None
        )
        for model, count in (("pca", 16), ("gmm", 4))
    )
    assert four["elbo_nats"] > one["elbo_nats"]


def test_every_pixel_by_itself_knows_nothing_of_objects() -> None:
    metrics = generator_models.task_of(model="factorised").evaluate(vision_data.eight(), lambda done: None)
    assert metrics["found/ball"] == 0.0 and metrics["code_bits"] == 0.0 and -1_000 < metrics["elbo_bits"] < -100


def test_more_components_than_images_are_refused() -> None:
    with pytest.raises(ConfigError, match="16 images are too few for 16"):
        generator_models.task_of(model="pca", latents=16)
