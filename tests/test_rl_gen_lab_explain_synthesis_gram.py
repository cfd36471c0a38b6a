"""Gram matrices and correlations beside sums written out, and a search that comes near."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rl_gen_lab.explain.synthesis.encoders import deep, one_layer, standardized
from rl_gen_lab.explain.synthesis.gram import correlations, gram, gram_distance, synthesize


def test_a_gram_matrix_is_the_mean_product_of_maps() -> None:
    maps = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    found, numbers = gram(maps), maps.double().numpy()
    for b in range(2):
        for i in range(3):
            for j in range(3):
                sums = sum(numbers[b, i, y, x] * numbers[b, j, y, x] for y in range(4) for x in range(5))
                assert float(found[b, i, j]) == pytest.approx(sums / 20, abs=1e-6)


def test_the_distance_is_relative_and_0_for_the_same() -> None:
    wanted = [torch.tensor([[[3.0, 0.0], [0.0, 4.0]]])]
    assert float(gram_distance(wanted, wanted)) == 0
    assert float(gram_distance([torch.zeros(1, 2, 2)], wanted)) == 1
    assert float(gram_distance([2 * wanted[0]], wanted)) == 1


def test_correlations_are_means_over_the_pixels_that_overlap() -> None:
    picture = torch.rand(1, 3, 7, 9, generator=torch.Generator().manual_seed(0))
    gray = picture.double().mean(1)[0].numpy()
    gray = gray - gray.mean()
    found = correlations(picture, 3)[0]
    assert found.shape == (4, 7) and float(found[0, 3]) == pytest.approx(1, abs=1e-5)
    for down in range(4):
        for right in range(-3, 4):
            first = gray[: 7 - down, max(-right, 0) : 9 - max(right, 0)]
            second = gray[down:, max(right, 0) : 9 + min(right, 0)]
            wanted = np.mean(first * second) / np.square(gray).mean()
            assert float(found[down, right + 3]) == pytest.approx(wanted, abs=1e-5)


def test_the_search_comes_near_and_long_shifts_bring_back_a_period() -> None:
    x = torch.arange(48.0)
    stripes = (0.5 + 0.4 * torch.sign(torch.sin(2 * torch.pi * x / 16 + 0.1))).expand(1, 1, 48, 48).contiguous()
    small = standardized(one_layer(0, 1, sizes=(3, 5), filters=16), stripes)
    made = {weight: synthesize(stripes, 40, 40, small, iterations=40, long_range=weight) for weight in (0.0, 1.0)}
    wanted = [gram(maps) for maps in small(stripes)]
    for picture in made.values():
        assert picture.shape == (1, 1, 40, 40) and picture.min() >= 0 and picture.max() <= 1
        noise = torch.rand(1, 1, 40, 40, generator=torch.Generator().manual_seed(0))
        near, far = (float(gram_distance([gram(maps) for maps in small(one)], wanted)) for one in (picture, noise))
        assert near < far / 50
    errors = {
        weight: float((correlations(one, 16) - correlations(stripes, 16)).square().mean())
        for weight, one in made.items()
    }
    assert errors[1.0] < errors[0.0] / 2


def test_color_and_deep_encoders_are_searched_as_well() -> None:
    source = torch.rand(1, 3, 24, 24, generator=torch.Generator().manual_seed(1))
    done: list[int] = []
    made = synthesize(source, 16, 20, standardized(deep(0, (8, 8, 8)), source), iterations=3, on_step=done.append)
    assert made.shape == (1, 3, 16, 20) and done[-1] == 3
