"""The autoencoder: eight images by heart, by every decoder and likelihood."""

from __future__ import annotations

import math

import generator_models
import pytest
import torch
import vision_data

from rl_gen_lab.generators.autoencoder import Autoencoder, Encoder


@pytest.mark.slow
@pytest.mark.parametrize(("decoder", "updates"), [("upsample", 130), ("transposed", 250), ("broadcast", 250)])
def test_eight_images_are_learned_by_heart(decoder: str, updates: int) -> None:
    task = generator_models.task_of(model="autoencoder", decoder=decoder)
    before = task.evaluate(vision_data.eight(), lambda done: None)
    _, metrics = vision_data.learn_by_heart(task, updates, 5e-3)
    assert before["wrong_pixels"] > 20
    assert metrics["wrong_pixels"] < 2 and metrics["found/ball"] == metrics["found/paddle"] == 1.0, metrics
    assert "elbo_bits" not in metrics and metrics["code_bits"] == 0.0


def test_the_loss_is_the_sum_over_pixels_and_the_mean_over_images() -> None:
    task = generator_models.task_of(model="autoencoder")
    assert isinstance(task.model, Autoencoder)
    task.network.eval()
    images = vision_data.eight().images
    losses = task.model.losses(images, None)
    out = task.model.decode(task.model.encode(images))
    one_by_one = [
        -float(task.model.likelihood.log_prob(out[i : i + 1], images[i : i + 1]).detach().sum()) for i in range(8)
    ]
    assert float(losses["loss"].detach()) == pytest.approx(sum(one_by_one) / 8, rel=1e-5)
    twice = task.model.losses(images, torch.full((8, *images.shape[2:]), 2.0))
    assert float(twice["loss"].detach()) == pytest.approx(2 * sum(one_by_one) / 8, rel=1e-5)
    assert float(twice["reconstruction_nats"]) == pytest.approx(sum(one_by_one) / 8, rel=1e-5)  # recorded unweighted


def test_the_mean_frame_is_subtracted_before_anything_else() -> None:
    images = vision_data.dataset().splits["train"].images
    encoder = Encoder(generator_models.TINY, images, 4)
    first = next(module for module in encoder.modules() if hasattr(module, "standardize") and hasattr(module, "mean"))
    assert torch.allclose(first.mean, images.float().mean(0), atol=1e-3)
    spread = (images.float() - images.float().mean(0)).square().mean().sqrt()
    assert float(first.scale) == pytest.approx(1 / float(spread), rel=1e-4) and math.isfinite(float(spread))
