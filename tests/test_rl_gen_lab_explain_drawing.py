"""Pictures of maps and filters."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from explained_models import Curved, Linear

from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.explain.drawing import AGAINST, FOR, bars, filters, in_color, overlay, panels, strongest

BEST = {"before": AGAINST, "after": FOR}


def test_what_raises_the_number_is_red_and_what_lowers_it_blue() -> None:
    image, values = np.zeros((20, 20, 3), np.uint8), np.zeros((10, 10))
    values[2, 2], values[7, 7] = 1.0, -1.0
    drawn = overlay(image, values)
    assert drawn.shape == image.shape
    red, blue = drawn[4, 4], drawn[14, 14]
    assert red[0] > red[2] and blue[2] > blue[0] and not drawn[0, 0].any()


def test_the_strongest_channel_keeps_its_sign() -> None:
    assert strongest(torch.tensor([[[1.0]], [[-3.0]], [[2.0]]])).tolist() == [[-3.0]]


def test_panels_stand_beside_each_other_and_refuse_what_is_no_picture() -> None:
    picture = panels([[("a", in_color(np.zeros((4, 8)))), ("b", in_color(np.ones((4, 4))))]], side=40)
    assert picture.size == (4 + 80 + 4 + 40 + 4, 40 + 18 + 4 + 4)
    with pytest.raises(ConfigError, match="no picture"):
        panels([[("a", np.zeros((4, 4)))]])


def test_filters_are_drawn_a_column_for_each_channel() -> None:
    picture = np.asarray(filters(Curved()))
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 50
    with pytest.raises(ConfigError, match="no convolution"):
        filters(Linear((1, 4, 4)))


def test_bars_show_the_largest_of_each_in_color() -> None:
    picture = bars(["up", "down"], [1.0, 0.0], [0.2, 0.9])
    colors = {tuple(color) for color in picture.reshape(-1, 3).tolist()}
    assert {FOR, AGAINST} <= colors
    rows = {name: np.flatnonzero((picture == np.array(color)).all(2).any(1)) for name, color in BEST.items()}
    assert rows["before"].max() < len(picture) / 2 < rows["after"].min()  # the first label before, the second after
    assert bars(["a"], [0.0], [0.0]).shape == picture.shape  # nothing to scale by
