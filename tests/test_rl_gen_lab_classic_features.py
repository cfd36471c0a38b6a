"""Features by name: their sizes, what they are fitted to, and what does not fit."""

from __future__ import annotations

import pytest
import torch
from classic_data import digits

from rl_gen_lab.classic.config import ClassicConfig
from rl_gen_lab.classic.features import Pixels, enlarged, make_features
from rl_gen_lab.cli.errors import ConfigError


def config(features: str, **settings: object) -> ClassicConfig:
    return ClassicConfig(features=features, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("features", "numbers"),
    [("pixels", 64), ("colors", 64), ("hog", 324), ("hog-opencv", 324), ("words", 64), ("pca", 16)],
)
def test_an_image_has_as_many_numbers_as_are_said(features: str, numbers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    images = digits(monkeypatch).splits["train"].images[:40]
    made = make_features(config(features), 8, 8)
    made.fit(images)
    found = made(images)
    assert found.shape == (40, numbers) and made.dim == numbers and found.dtype == torch.float32
    assert found.isfinite().all() and found.std(0).max() > 0


def test_small_images_are_enlarged_to_32_pixels_and_large_ones_are_not() -> None:
    assert [make_features(config("hog"), side, 40).factor for side in (8, 25, 32, 200)] == [4, 2, 1, 1]
    assert enlarged(torch.zeros(1, 3, 8, 8, dtype=torch.uint8), 4).shape == (1, 1, 32, 32)
    assert enlarged(torch.randint(256, (1, 3, 8, 8), dtype=torch.uint8), 1).shape == (1, 3, 8, 8)


def test_large_images_are_reduced_for_pixels() -> None:
    pixels = Pixels(config("pixels"), 210, 160)
    assert pixels.size == (64, 49)
    assert pixels(torch.full((2, 3, 210, 160), 51, dtype=torch.uint8)).allclose(torch.tensor(0.2))


def test_components_are_those_of_the_training_images(monkeypatch: pytest.MonkeyPatch) -> None:
    images = digits(monkeypatch).splits["train"].images
    made = make_features(config("pca", components=8), 8, 8)
    points = images[:, 0].flatten(1).double()
    squares = torch.linalg.svdvals(points - points.mean(0)).square()
    assert made.fit(images) == f"8 components have {squares[:8].sum() / squares.sum():.1%} of the variance"
    found = made(images)
    assert found.mean(0).abs().max() < 1e-5
    covariance = torch.cov(found.T)
    assert (covariance - covariance.diag().diag()).abs().max() < 1e-5


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"features": "hog", "enlarge": 1}, "8 x 8, enlarged 1 times, .* use --classic.enlarge 2 "),
        ({"features": "words", "grid": 8}, "--classic.grid 8 is finer"),
        ({"features": "pca", "components": 100}, "64 pixels have at most as many components"),
        ({"features": "colors", "model": "sliding-window"}, "needs --classic.features hog or hog-opencv, not colors"),
    ],
)
def test_settings_that_do_not_fit_the_images_are_refused(settings: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        make_features(ClassicConfig(**settings), 8, 8)  # type: ignore[arg-type]


def test_too_few_images_to_fit_to_are_refused() -> None:
    images = torch.zeros(3, 3, 8, 8, dtype=torch.uint8)
    with pytest.raises(ConfigError, match="16 components need more than 3 training images"):
        make_features(config("pca"), 8, 8).fit(images)
    with pytest.raises(ConfigError, match="27 patches make at most as many words, not 64"):
        make_features(config("words"), 8, 8).fit(images)
