"""Quilting: cuts as brute force finds them, overlaps that only become better, pictures that are too small."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.explain.synthesis.quilting import kept_of_new, minimal_cut, overlap_errors, quilt


def cheapest(errors: np.ndarray) -> float:
    height, width = errors.shape
    paths = (path for path in itertools.product(range(width), repeat=height) if max(abs(np.diff(path)), default=0) <= 1)
    return min(sum(errors[row, column] for row, column in enumerate(path)) for path in paths)


@pytest.mark.parametrize("seed", range(20))
def test_a_cut_costs_what_brute_force_finds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    errors = rng.random((rng.integers(2, 7), rng.integers(1, 5)))
    path = minimal_cut(errors)
    assert np.abs(np.diff(path)).max() <= 1
    assert errors[np.arange(len(path)), path].sum() == pytest.approx(cheapest(errors), abs=1e-12)


def test_new_pixels_begin_at_the_cut_and_the_seam_costs_no_more_than_a_straight_one() -> None:
    rng = np.random.default_rng(1)
    old, new = rng.random((2, 12, 12, 3))
    kept = kept_of_new(old, new, 4, left=True, above=False)
    errors = np.square(old - new).sum(2)
    columns = kept.argmax(1)
    assert kept[:, 4:].all() and (kept.cumsum(1) > 0).sum() == kept.sum()
    seam = errors[np.arange(12), columns].sum()
    assert seam <= errors[:, :4].sum(0).min()
    both = kept_of_new(old, new, 4, left=True, above=True)
    assert (both == (kept & kept_of_new(old, new, 4, left=False, above=True))).all()


def test_differences_under_a_mask_are_those_of_every_place() -> None:
    import torch

    rng = np.random.default_rng(2)
    source, place, mask = rng.random((9, 8, 3)).astype(np.float32), rng.random((4, 4, 3)), rng.random((4, 4)) < 0.5
    place = place.astype(np.float32)
    found = overlap_errors(torch.from_numpy(source).permute(2, 0, 1)[None], place, mask)
    wanted = [
        [(np.square(source[y : y + 4, x : x + 4] - place).sum(2) * mask).sum() for x in range(5)] for y in range(6)
    ]
    assert found == pytest.approx(np.array(wanted), abs=1e-4)


def test_the_whole_picture_as_patch_is_the_picture() -> None:
    picture = np.random.default_rng(3).integers(0, 256, (20, 20, 3), np.uint8)
    assert (quilt(picture, 20, 20, patch=20, overlap=5, tolerance=0) == picture).all()


def test_a_periodic_picture_is_continued_without_a_fault() -> None:
    y, x = np.mgrid[:40, :40]
    checks = (np.stack([(y // 4 + x // 4) % 2] * 3, 2) * 200).astype(np.uint8)
    made = quilt(checks, 60, 50, patch=16, overlap=8, tolerance=0)
    assert made.shape == (60, 50, 3)
    assert (made[:-8] == made[8:]).all() and (made[:, :-8] == made[:, 8:]).all() and made.std() > 50


def test_what_does_not_fit_is_refused_in_a_line_that_says_what_would() -> None:
    picture = np.zeros((10, 30, 3), np.uint8)
    with pytest.raises(ConfigError, match="30 x 10 pixels has no patch of 24: at most 10"):
        quilt(picture, 20, 20)
    with pytest.raises(ConfigError, match="overlap by less than 8, not by 8"):
        quilt(picture, 20, 20, patch=8)
