"""Rows of explanations as tables: what stands in which column, and files that record something else."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.reports import explain
from agents.reports.run_record import RunDataError
from agents.reports.store import ResultsError, write_csv
from rl_gen_lab.runs.folder import RunFolder


def row(method: str, measures: str) -> dict[str, str]:
    values = {"what": "Pong", "agent": "dqn", "target": "gap", "method": method, "frames": "200", "episodes": "10"}
    values |= {"objects": "ball enemy", "measures": measures, "run": f"one/{method}", "commit": "0123456789"}
    return {name: values.get(name, "") for name in explain.COLUMNS}


MOVING = "ball/lift=50 ball/area=0.001"
LRP = "ball/lift=90 enemy/lift=5 ball/over_twin=9 ball/over_twin_low=7 ball/over_twin_high=11 rank_correlation=0.6"


def test_a_row_names_each_object_and_its_interval(tmp_path: Path) -> None:
    file = tmp_path / "explain.csv"
    write_csv(file, explain.COLUMNS, [row("lrp", LRP), row("random", "ball/lift=1"), row("frame difference", MOVING)])
    text = explain.section(file)
    assert "**Pong**: dqn, gap, 200 frames of 10 games" in text
    assert (
        "| lrp | ball 90.0, enemy 5.0 | ball 50.0, 1.0; 0.10% | ball 9.0 (ball: 7.0 to 11.0) | - | 0.60 [-, -] |"
        in text
    )
    assert "| random | ball 1.0 | ball 50.0, 1.0; 0.10% | - |" in text


def test_games_stand_in_a_table_of_their_own() -> None:
    held = row("games: enemy hidden", "score=14 games=10 change=-3 low=-5 high=-1 predicted_fall=0")
    deleted = row("lrp", "score_deleted_mean=-20 score_kept_mean=13")
    lines = explain.games_of([row("games: as it is", "score=17 games=10"), held, deleted])
    assert lines[0][:2] == ["as it is", "17.0"]
    assert lines[1][:2] == ["enemy hidden", "14.0 (change -3.0 [-5.0, -1.0]; predicted: holds)"]
    assert lines[2] == ["lrp", "", "-20.0", "13.0", "-", "-"]


def test_other_files_and_unfinished_runs_are_refused(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", ("x",), [{"x": "1"}])
    with pytest.raises(ResultsError, match="does not record explanations"):
        explain.section(tmp_path / "a.csv")
    assert "Not recorded yet" in explain.section(tmp_path / "none.csv")
    run = RunFolder.create(tmp_path, "explain", "Pong", 0)
    run.write_config({"env_id": "ALE/Pong-v5"})
    with pytest.raises(RunDataError, match="holds no scores"):
        explain.rows_of(run, "")
