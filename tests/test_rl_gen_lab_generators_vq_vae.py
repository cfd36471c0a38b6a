"""The quantized autoencoder: eight images by heart, what its tokens cost, sizes that do not fit."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import cast

import generator_models
import pytest
import torch
import vision_data

from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.generators.vq_vae import QuantizedAutoencoder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("quantizer", "decoder", "updates", "learning_rate"),  # from several first weights each
    [("fsq", "upsample", 320, 5e-3), ("fsq", "transposed", 800, 2e-3), ("vq", "upsample", 800, 5e-3)],
)
def test_eight_images_are_learned_by_heart(quantizer: str, decoder: str, updates: int, learning_rate: float) -> None:
    task = generator_models.task_of(model="vq-vae", quantizer=quantizer, decoder=decoder, codes=16)
    _, metrics = vision_data.learn_by_heart(task, updates, learning_rate)
    assert metrics["found/ball"] == metrics["found/paddle"] == 1.0, metrics
    assert metrics["wrong_pixels"] < 3
    assert 2 <= metrics["perplexity"] <= metrics["used_tokens"] <= 36
    assert 0 < metrics["code_bits"] < 2 * math.log2(36) + 1  # two tokens an image


def test_tokens_are_decoded_as_their_vectors() -> None:
    task = generator_models.task_of(model="vq-vae")
    model = cast(QuantizedAutoencoder, task.model)
    task.network.eval()
    with torch.no_grad():
        images = vision_data.eight().images
        vectors, tokens, _ = model.quantize(images)
        assert tokens.shape == (8, 2) and torch.equal(tokens, model.encode(images))
        assert torch.allclose(model.decode(tokens), model.decode_vectors(vectors), atol=1e-5)


def test_the_length_of_the_code_is_by_the_frequencies_at_each_position() -> None:
    model = cast(QuantizedAutoencoder, generator_models.task_of(model="vq-vae").model)
    model.token_counts.fill_(0.0)
    model.token_counts[0, :2] = torch.tensor([300.0, 100.0])
    model.token_counts[1, 5] = 400.0
    length = model.code_length(torch.tensor([[0, 5], [1, 5]]))
    assert length.tolist() == pytest.approx([-math.log(0.75), -math.log(0.25)], abs=0.01)
    drawn = model.sample_tokens(4_000, torch.Generator().manual_seed(0))
    assert drawn.shape == (4_000, 2) and float((drawn[:, 0] == 0).float().mean()) == pytest.approx(0.75, abs=0.03)
    assert (drawn[:, 1] == 5).float().mean() > 0.99


def test_maps_that_the_decoder_cannot_begin_with_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"the last map of resnet is 5 x 4.*begins with 2 x 1"):
        choices = replace(generator_models.SMALL, stages=2)
        generator_models.task_of(model="vq-vae", choices=choices)
    with pytest.raises(ConfigError, match=r"use --generate\.decoder upsample"):
        generator_models.task_of(model="vq-vae", decoder="broadcast")


@pytest.mark.parametrize("model", ["vq-vae", "autoencoder", "vae"])
def test_weights_of_pixels_count_after_their_updates_for_every_model(model: str) -> None:
    task = generator_models.task_of(model=model, weighting="objects", weight=50.0, weight_after_updates=1)
    plain = generator_models.task_of(model=model)
    losses = []
    for learner in (task, plain):
        torch.manual_seed(1)
        losses.append([float(learner.loss(vision_data.eight(), torch.arange(8))["loss"].detach()) for _ in range(2)])
    (first, second), (plain_first, plain_second) = losses
    assert first == plain_first and second > 1.5 * plain_second
