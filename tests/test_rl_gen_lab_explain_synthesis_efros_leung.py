"""Efros-Leung: a periodic pattern is reproduced to the last pixel."""

from __future__ import annotations

import numpy as np
import pytest

from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.explain.synthesis.efros_leung import grow


def continues(made: np.ndarray, tile: np.ndarray) -> bool:
    """Whether a picture is the tile repeated, from any of its pixels on."""
    height, width = tile.shape[:2]
    pattern = np.tile(tile, (len(made) // height + 2, made.shape[1] // width + 2, 1))
    starts = ((y, x) for y in range(height) for x in range(width))
    return any((pattern[y:, x:][: len(made), : made.shape[1]] == made).all() for y, x in starts)


def test_a_periodic_pattern_is_reproduced_to_the_last_pixel() -> None:
    tile = np.random.default_rng(0).integers(0, 256, (5, 4, 3), np.uint8)
    told: list[int] = []
    made = grow(np.tile(tile, (4, 5, 1)), 18, 21, window=5, seed=1, on_pixel=lambda done, total: told.append(done))
    assert made.shape == (18, 21, 3) and continues(made, tile) and told[-1] == 18 * 21
    assert not continues(np.roll(made, 1, 1)[:, ::-1], tile)


def test_a_window_smaller_than_the_period_breaks_the_pattern() -> None:
    tile = np.zeros((6, 6, 3), np.uint8)
    tile[0], tile[:, 0] = 250, (0, 200, 90)
    assert not continues(grow(np.tile(tile, (4, 4, 1)), 24, 24, window=3, seed=1), tile)


def test_windows_that_cannot_be_are_refused() -> None:
    with pytest.raises(ConfigError, match="9 x 6 pixels has no window of 11: at most 6"):
        grow(np.zeros((6, 9, 3), np.uint8), 8, 8)
    with pytest.raises(ConfigError, match="7 instead of 6"):
        grow(np.zeros((9, 9, 3), np.uint8), 8, 8, window=6)
