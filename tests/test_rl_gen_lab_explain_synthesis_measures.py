"""Measures of textures: 0 for the same, what is known on paper, and an order that holds."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import wasserstein_distance

from rl_gen_lab.explain.synthesis import measures


def waves(seed: int, side: int = 64) -> np.ndarray:
    """A texture of waves of 12 pixels, with noise, at a random place."""
    rng = np.random.default_rng(seed)
    x = np.mgrid[:side, :side][1]
    gray = 120 + 60 * np.sin(2 * np.pi * (x + rng.integers(12)) / 12) + 8 * rng.standard_normal((side, side))
    return np.repeat(gray.clip(0, 255).astype(np.uint8)[..., None], 3, 2)


def test_quantiles_and_the_distance_of_single_pixels_are_those_of_scipy() -> None:
    generator = torch.Generator().manual_seed(0)
    first, second = torch.rand(1, 500, generator=generator), torch.rand(1, 500, generator=generator).square()
    shares = (torch.arange(500) + 0.5) / 500
    assert torch.allclose(measures.quantiles(first, shares), first.sort(1).values, atol=1e-6)
    found = (measures.quantiles(first, shares) - measures.quantiles(second, shares)).abs().mean()
    assert float(found) == pytest.approx(wasserstein_distance(first[0].numpy(), second[0].numpy()), abs=1e-5)


def test_a_picture_is_nearest_to_itself_then_to_its_like_then_to_noise() -> None:
    source, like = waves(0), waves(1)
    noise = np.random.default_rng(0).permutation(source.reshape(-1, 3)).reshape(source.shape)
    same, near, far = (measures.measured(picture, source) for picture in (source, like, noise))
    assert same["copied"] == 1 and near["copied"] == far["copied"] == 0
    for name in set(same) - {"copied"}:
        assert same[name] < 1e-6 or name == "long_range"
        assert same[name] <= near[name] < far[name] / 2


def test_where_a_repeat_lies_does_not_count_but_that_there_is_one() -> None:
    source = measures.as_tensor(waves(0))
    noise = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    like, unlike = (measures.long_range(one, source) for one in (measures.as_tensor(waves(1)), noise))
    turned = measures.long_range(source.transpose(2, 3), source)  # the same repeats, elsewhere
    assert max(like, turned) < unlike / 5


def test_copies_are_counted_to_the_last_bit() -> None:
    source = np.random.default_rng(0).integers(0, 256, (20, 20, 3), np.uint8)
    part = source[2:14, 3:15].copy()
    assert measures.copy_rate(part, source) == 1
    part[5, 5, 0] ^= 1  # in all patches that cover it: those of rows and columns 0 to 5, 36 of 36
    assert measures.copy_rate(part, source) == 0


def test_pictures_and_tensors_are_the_same_pixels() -> None:
    picture = waves(0, 9)
    assert (measures.as_picture(measures.as_tensor(picture)) == picture).all()
    assert (measures.as_picture(measures.as_tensor(picture)[:, :1]) == picture).all()
