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
