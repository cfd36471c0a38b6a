"""Figures of generators: their size, and the pixels that differ."""

from __future__ import annotations

from pathlib import Path

import generator_models
import numpy as np
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
