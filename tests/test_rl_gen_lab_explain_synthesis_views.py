"""The pictures and rows of each search."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from test_rl_gen_lab_explain_synthesis_subject import subject

from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.explain.synthesis import views
from rl_gen_lab.explain.synthesis.config import SearchConfig

SHORT = SearchConfig(steps=3, jitter=0, octaves=1, units=(0, 1))


def test_stacks_are_drawn_side_by_side_and_colors_as_they_are() -> None:
    frame = torch.arange(3 * 4 * 5.0).reshape(3, 4, 5)
    assert views.drawn(frame, 3).shape == (4, 5, 3) and (views.drawn(frame, 3)[1, 2] == [7, 27, 47]).all()
    gray = views.drawn(frame, 1)
    assert gray.shape == (4, 15, 3) and (gray[:, 5:10, 0] == np.arange(20, 40).reshape(4, 5)).all()


@pytest.mark.parametrize(
    ("method", "subjects"), [("maximize", ["up", "down"]), ("dream", ["0"]), ("invert", ["0", "3"])]
)
def test_each_search_gives_a_row_for_each_subject(method: str, subjects: list[str]) -> None:
    one = dataclasses.replace(subject(), reachable=torch.randint(0, 256, (4, 2, 8, 8), dtype=torch.uint8))
    strips, rows = views.METHODS[method](one, SHORT, 0, views.Units(3))
    assert [row["subject"] for row in rows] == subjects and strips
    if method == "maximize":
        assert set(rows[0]["measures"]) == {"found", "best_real_frame", "best_reachable"}


def test_dreams_are_of_convolutions() -> None:
    with pytest.raises(ConfigError, match=r"dreams are of convolutions, .*: 0"):
        views.dreamed(subject(), dataclasses.replace(SHORT, layer="3"), 0, views.Units(3))
