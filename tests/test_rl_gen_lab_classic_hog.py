"""Histograms of oriented gradients against scikit-image's."""

from __future__ import annotations

import pytest
import torch
from classic_numbers import tensor, window

from rl_gen_lab.classic.hog import cell_histograms, hog

SUMS = 1e-6  # scikit-image adds the gradients of a cell in single precision


@pytest.mark.parametrize("norm", ["L1", "L1-sqrt", "L2", "L2-Hys"])
def test_gray_agrees_with_scikit_image_in_every_norm(norm: str) -> None:
    gray = window()[:, :, :48, :40].mean(1, keepdim=True) / 255
    assert (hog(gray, norm=norm).flatten() - tensor(f"skimage_{norm}")).abs().max() < SUMS


def test_color_takes_the_channel_of_the_largest_gradient_as_scikit_image() -> None:
    found = hog(window()[:, :, :48, :40] / 255, 6, 5, 3).flatten()
    assert (found - tensor("skimage_color")).abs().max() < SUMS


def test_single_precision_stays_near() -> None:
    gray = window()[:, :, :48, :40].mean(1, keepdim=True) / 255
    assert (hog(gray.float()).flatten() - tensor("skimage_L2-Hys")).abs().max() < 1e-3


def test_an_upright_edge_votes_for_the_level_direction_only() -> None:
    image = torch.zeros(1, 1, 8, 8)
    image[..., 4:] = 1.0
    (histogram,) = cell_histograms(image, 9, 8).flatten(1)
    assert histogram[0] == 16 / 64  # two columns of eight pixels, of a difference of 1
    assert histogram[1:].eq(0).all()


def test_the_scale_of_the_pixels_hardly_counts() -> None:
    gray = window()[:, :, :48, :40].mean(1, keepdim=True)
    assert torch.allclose(hog(gray), hog(gray / 255), atol=1e-5)
