"""Rows of stages as one table: a line for each stage and method, controls in the line; files of something else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agents.reports import explain_stages as report
from agents.reports.run_record import RunDataError
from agents.reports.store import ResultsError, write_csv
from rl_gen_lab.runs.folder import RunFolder

OWN = {"ball/lift": 90.0, "ball/over_twin": 9.0, "ball/near": 0.9}


def recorded(folder: Path) -> RunFolder:
    run = RunFolder.create(folder, "explain", "Pong", 0)
    run.write_config({"env_id": "ALE/Pong-v5", "commit": "0123456789"})
    rows = []
    for stage, lift in (("step 50,000", 10.0), ("step 100,000", 90.0)):
        about = {"stage": stage, "source": "runs/a", "same_action": 0.5, "score": -3.25, "score_games": 4}
        rows.append(about | OWN | {"method": "lrp", "ball/lift": lift})
        rows.append(about | {"method": "frame difference", "ball/lift": 50.0, "ball/area": 0.001})
        rows.append(about | {"method": "random", "ball/lift": 1.0})
    about = {"agent": "dqn (best)", "target": "gap", "frames": 8, "episodes": 2, "objects": ["ball"]}
    run.write_result(about | {"rows": rows})
    return run


def test_a_line_holds_stage_method_controls_and_score(tmp_path: Path) -> None:
    rows = report.rows_of(recorded(tmp_path), "Pong through training")
    file = tmp_path / "explain_stages.csv"
    write_csv(file, report.COLUMNS, rows)
    text = report.section(file)
    assert "**Pong through training**: frames of dqn (best), gap, 8 frames of 2 games" in text
    first, second = (line for line in text.splitlines() if line.startswith("| step"))
    assert first.startswith("| step 50,000 | lrp | ball 10.0 | ball 50.0, 1.0; 0.10% | ball 9.0 |")
    assert second.startswith("| step 100,000 | lrp | ball 90.0 |") and second.endswith("| 50% | -3.2 (4 games) |")
    assert "| frame difference" not in text  # stands in each line


def test_rows_are_told_apart_by_source_stage_and_method(tmp_path: Path) -> None:
    rows = report.rows_of(recorded(tmp_path), "")
    assert len({row["run"] for row in rows}) == len(rows) == 6


def test_other_files_and_unfinished_runs_are_refused(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", ("x",), [{"x": "1"}])
    with pytest.raises(ResultsError, match="does not record explanations of stages"):
        report.section(tmp_path / "a.csv")
    assert "--record none" in report.section(tmp_path / "none.csv")
    run = recorded(tmp_path)
    result = json.loads(run.result_file.read_text())
    del result["rows"][0]["stage"]
    run.write_result(result)
    with pytest.raises(RunDataError, match=r"agents\.explain --stages"):
        report.rows_of(run, "")
