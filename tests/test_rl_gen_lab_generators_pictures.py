"""Figures of generators: their size, the pixels that differ, what is drawn and said while training."""

from __future__ import annotations

from pathlib import Path

import generator_models
import generator_runs
import numpy as np
import pytest
import torch
import vision_data
from PIL import Image

from rl_gen_lab.generators import pictures


def test_a_figure_shows_images_reconstructions_and_differences(tmp_path: Path) -> None:
    task = generator_models.task_of(model="factorised")
    file = pictures.write_reconstructions(task, vision_data.eight(), [0, 1, 2], tmp_path / "new" / "figure.png")
    pixels = np.asarray(Image.open(file))
    height, width = 2 * vision_data.H, 2 * vision_data.W
    assert pixels.shape[1] == 3 * (width + pictures.MARGIN) + pictures.MARGIN
    first = pixels[pictures.LINE : pictures.LINE + height, pictures.MARGIN : pictures.MARGIN + width]
    assert np.array_equal(first[::2, ::2], vision_data.eight().images[0].permute(1, 2, 0).numpy())


def test_pixels_that_differ_are_white() -> None:
    images = torch.zeros(1, 3, 2, 2, dtype=torch.uint8)
    others = images.clone()
    others[0, 1, 0, 1] = 7
    assert pictures.differences(images, others)[0, 0].tolist() == [[0, 255], [0, 0]]


@pytest.mark.parametrize("model", ["vae", "vq-vae", "autoencoder", "pca", "factorised"])
def test_a_training_leaves_a_figure_of_its_present_state(model: str) -> None:
    run = generator_runs.run_of(model)
    with Image.open(run.path / "pictures" / "progress.png") as figure:
        rows = {"vae": 5, "vq-vae": 3, "autoencoder": 4, "pca": 5, "factorised": 3}[model]
        row = 2 * vision_data.H + pictures.LINE + pictures.MARGIN
        assert figure.height == rows * row + pictures.MARGIN
        assert figure.width == 8 * (2 * vision_data.W + pictures.MARGIN) + pictures.MARGIN


def test_a_code_that_is_not_used_is_said() -> None:
    task = generator_models.task_of()
    assert task.warnings({"active_numbers": 4.0}) == []
    (sentence,) = task.warnings({"active_numbers": 0.0})
    assert "collapsed: 0 of 8 numbers" in sentence
    assert generator_models.task_of(model="pca").warnings({"active_numbers": 0.0}) == []


def test_a_posterior_that_has_collapsed_is_seen_by_its_numbers() -> None:
    """With a code that costs a hundred times its length nothing is coded."""
    task = generator_models.task_of(beta=100.0, beta_updates=0)
    _, metrics = vision_data.learn_by_heart(task, 60, 5e-3)
    assert metrics["active_numbers"] == 0 and metrics["code_bits"] < 1 and task.warnings(metrics)
