"""Controls of textures: crops that the source has no part in."""

from __future__ import annotations

import numpy as np
import pytest

from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.explain.synthesis import textures


def test_held_out_crops_touch_neither_the_source_nor_each_other() -> None:
    picture = np.arange(50 * 70).reshape(50, 70, 1).repeat(3, 2)
    crops = textures.held_out(picture, 30, 12, 20)
    numbers = np.concatenate([crop[..., 0].ravel() for crop in crops])
    assert len(set(numbers.tolist())) == len(numbers) and {crop.shape for crop in crops} == {(12, 20, 3)}
    assert not set(numbers.tolist()) & set(picture[:30, :30, 0].ravel().tolist())
    assert textures.held_out(picture, 50, 12, 21) == [] or len(textures.held_out(picture[:, :50], 50, 12, 20)) == 0


def test_gray_sources_give_gray_textures_and_seeds_differ() -> None:
    rng = np.random.default_rng(0)
    source = np.repeat(rng.integers(0, 256, (24, 24, 1), np.uint8), 3, 2)
    first, again, other = (
        textures.Texture(source, 12, 12, iterations=2, seed=seed).make("random-network")[0] for seed in (0, 0, 1)
    )
    assert (first == first[..., :1]).all() and (first == again).all() and (first != other).any()
    with pytest.raises(ConfigError, match="needs --encoder RUN"):
        textures.Texture(source, 12, 12).make("trained")


def test_means_are_of_each_measure() -> None:
    assert textures.mean_of([{"a": 1.0, "b": 3.0}, {"a": 2.0, "b": 5.0}]) == {"a": 1.5, "b": 4.0}


def test_a_source_of_a_single_color_is_refused_since_nothing_can_be_measured_beside_it() -> None:
    gray = np.full((24, 30, 3), 7, np.uint8)
    with pytest.raises(ConfigError, match="upper left 30 x 24 pixels of the picture have a single color"):
        textures.Texture(gray, 12, 12)
    gray[3, 4, 1] += 1  # one pixel is enough for every measure to be a number
    made, _ = textures.Texture(gray, 12, 12, patch=8, overlap=3).make("quilting")
    assert all(np.isfinite(value) for value in textures.measured(made, gray).values())
