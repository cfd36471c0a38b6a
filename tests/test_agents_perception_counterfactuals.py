"""Moments as played and moments whose positions were written, beside dreams of both."""

from __future__ import annotations

from pathlib import Path

import latent_runs
import numpy as np
import pytest
from twin_pages import twin

from agents import dream
from agents.perception import counterfactuals
from envs.ground_truth.interventions import intervene


def test_a_written_position_is_where_the_dream_begins() -> None:
    both = twin()
    both.new_game()
    intervene(both.truth, both.truth.reader, {"player_y": 100.0})
    for _ in range(counterfactuals.TRUE_STEPS):
        both.step(0)
    both.anchor(counterfactuals.TRUE_STEPS)
    assert np.array_equal(both.dreamed, both.frames[-1])
    assert abs(both.reader.read(both.dreamed)["player"][0][1] - 100) < 20


def test_both_kinds_of_moments_are_compared(capsys: pytest.CaptureFixture[str]) -> None:
    run: Path = latent_runs.dream_run("pixels").path
    dream.main([str(run), "--counterfactuals", "2"])
    printed = capsys.readouterr().out
    assert "as played  step  1" in printed and "written    step  1" in printed
    assert (run / "counterfactuals.json").is_file()
