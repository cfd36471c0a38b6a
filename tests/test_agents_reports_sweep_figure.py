"""Figures of a study: axes of parallel coordinates, and files that are pictures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sweep_studies import study_record

from agents.reports.sweep_figure import Axis, axes_of, heights_of, write_figures


def test_an_axis_of_numbers_is_linear_or_by_their_logarithm() -> None:
    assert [Axis("x", [1.0, 3.0, 5.0], False).at(value) for value in (1, 3, 5)] == [0.0, 0.5, 1.0]
    assert [Axis("x", [1e-4, 1e-2], True).at(value) for value in (1e-4, 1e-3, 1e-2)] == pytest.approx([0, 0.5, 1])
    assert [word for _, word in Axis("x", [1e-4, 1e-2], True).ticks][::2] == ["0.0001", "0.001", "0.01"]


def test_an_axis_of_few_whole_numbers_has_a_tick_for_each_also_by_logarithm() -> None:
    assert Axis("x", [1, 2, 4, 4], False).ticks == [(0.0, "1"), (1 / 3, "2"), (1.0, "4")]
    ticks = Axis("x", [1, 10, 100], True).ticks
    assert [word for _, word in ticks] == ["1", "10", "100"] and [h for h, _ in ticks] == pytest.approx([0, 0.5, 1])


def test_an_axis_of_words_has_a_tick_for_each_and_one_value_lies_in_the_middle() -> None:
    assert Axis("x", ["b", "a"], False).ticks == [(0.0, "a"), (1.0, "b")]
    assert Axis("x", [True, False], False).ticks == [(0.0, "False"), (1.0, "True")]
    assert Axis("x", [None, 3], False).ticks == [(0.0, "3"), (1.0, "None")]
    assert Axis("x", [0.5, 0.5], False).ticks == [(0.5, "0.5")]


def test_only_complete_trials_are_drawn_the_best_last_and_at_the_top() -> None:
    axes, trials = axes_of(study_record())
    assert [axis.name for axis in axes] == ["learning_rate", "n_step", "net_arch", "double", "score"]
    assert [trial.number for trial in trials] == [0, 2, 3, 6, 8]
    assert heights_of(axes, trials[-1])[0] == pytest.approx(1) and heights_of(axes, trials[-1])[-1] == pytest.approx(1)
    assert all(0 <= height <= 1 for trial in trials for height in heights_of(axes, trial))


def test_every_figure_is_drawn_and_shows_something(tmp_path: Path) -> None:
    files = write_figures(study_record(), tmp_path)
    assert [file.name for file in files] == ["history.png", "curves.png", "parallel.png", "importance.png"]
    for file in files:
        pixels = np.asarray(Image.open(file).convert("L"))
        assert pixels.min() < 60 and (pixels < 250).mean() > 0.01


@pytest.mark.parametrize("trials", [1, 2])
def test_a_study_that_has_just_begun_is_drawn_too(tmp_path: Path, trials: int) -> None:
    files = write_figures(replace(study_record(trials), importance={}), tmp_path)
    assert [file.name for file in files] == ["history.png", "curves.png", "parallel.png"]
