"""What environments render, as RGB frames: every form that shows something, and one line for what does not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from agents.training.rendering import NoFrameError, fitted, rgb_frame

RGB = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
GRAY = RGB[..., 0]


@pytest.mark.parametrize(
    ("rendered", "expected"),
    [
        (RGB, RGB),
        (np.dstack([RGB, np.full((4, 6, 1), 7, np.uint8)]), RGB),
        (GRAY, np.stack([GRAY] * 3, -1)),
        (GRAY[..., None], np.stack([GRAY] * 3, -1)),
        (RGB.transpose(2, 0, 1), RGB),
        (RGB / 255.0, RGB),
        (RGB.astype(np.float32), RGB),
        (RGB.astype(np.int64) + 1_000, np.full_like(RGB, 255)),
        (RGB > 30, np.where(RGB > 30, 255, 0)),
        (np.full((4, 6, 3), np.nan), np.zeros_like(RGB)),
        ([np.zeros_like(RGB), RGB], RGB),
        (RGB.tolist(), RGB),
    ],
    ids=["rgb", "rgba", "gray", "gray-1", "first", "unit", "floats", "ints", "bools", "nan", "frames", "lists"],
)
def test_whatever_shows_something_becomes_rgb(rendered: Any, expected: np.ndarray) -> None:
    found = rgb_frame(rendered)
    assert found.dtype == np.uint8 and found.shape == (4, 6, 3) and found.flags["C_CONTIGUOUS"]
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("rendered", "said"),
    [
        (None, "returned NoneType"),
        ("+---+", "returned str"),
        ([], r"shape \(0,\)"),
        (np.zeros((5, 6, 2)), r"shape \(5, 6, 2\)"),
        (np.zeros((0, 6, 3), np.uint8), r"shape \(0, 6, 3\)"),
        ([[1, 2], [3]], "no array"),
        (np.full((4, 6), "x"), "no image"),
    ],
    ids=["none", "text", "nothing", "two-channels", "empty", "ragged", "letters"],
)
def test_what_shows_nothing_is_named(rendered: Any, said: str) -> None:
    with pytest.raises(NoFrameError, match=said):
        rgb_frame(rendered)


def test_a_picture_that_grew_is_scaled_into_the_size_of_the_first() -> None:
    assert fitted(RGB, 4, 6) is RGB
    grown = fitted(np.full((4, 12, 3), 200, np.uint8), 4, 6)
    assert grown.shape == (4, 6, 3)
    assert (grown[1:3] == 200).all() and (grown[[0, 3]] == 0).all()  # its proportions are kept
