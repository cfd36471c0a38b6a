"""Color histograms."""

from __future__ import annotations

import torch

from rl_gen_lab.classic.color_histogram import color_histogram


def test_pixels_are_counted_in_the_cube_of_their_color() -> None:
    image = torch.zeros(1, 3, 2, 2, dtype=torch.uint8)
    image[0, :, 0, 0] = torch.tensor([255, 0, 128])
    (histogram,) = color_histogram(image, 2)
    assert histogram[0b101] == 0.25 and histogram[0] == 0.75 and histogram.sum() == 1


def test_positions_do_not_count() -> None:
    images = torch.randint(256, (2, 3, 5, 4), dtype=torch.uint8)
    mixed = images.flatten(2)[..., torch.randperm(20)].view_as(images)
    assert torch.equal(color_histogram(images, 4), color_histogram(mixed, 4))
