"""The record of textures and styles: a table for each claim, and runs without pictures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agents import results
from agents.reports import made_pictures
from agents.reports.run_record import RunDataError
from agents.reports.store import ResultsError
from rl_gen_lab.runs.folder import RunFolder


def a_run(path: Path) -> Path:
    path.mkdir()
    (path / "config.json").write_text(json.dumps({"config": {}, "commit": "c0ffee", "command": ["python -m x"]}))
    rows = [
        {"subject": "grass", "method": "quilting", "measures": {"gram": 0.01234, "core_seconds": 12.0}},
        {"subject": "grass", "method": "shuffled pixels", "measures": {"gram": 0.5}},
    ]
    (path / "result.json").write_text(json.dumps({"rows": rows}))
    return path


def test_a_table_has_a_line_for_each_method_and_a_run_is_recorded_once(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- results:textures:pictures -->\nold\n<!-- /results:textures:pictures -->\n")
    words = ["--record", "textures", "--what", "grass", "--results-dir", str(tmp_path / "results")]
    run = a_run(tmp_path / "run")
    for _ in range(2):
        results.main([str(run), *words, "--readme", str(page)])
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.read_text().splitlines() if "|" in line]
    assert rows[0] == ["picture", "method", "gram", "core seconds"]
    assert rows[2:] == [["grass", "quilting", "0.0123", "12.0"], ["grass", "shuffled pixels", "0.5000", "-"]]


def test_other_runs_and_other_csvs_are_refused(tmp_path: Path) -> None:
    run = a_run(tmp_path / "run")
    for content in ("{}", '{"rows": []}', '{"rows": [{"subject": 1}]}'):
        (run / "result.json").write_text(content)
        with pytest.raises(RunDataError, match="holds no measured pictures"):
            made_pictures.rows_of(RunFolder.open(run), "it")
    assert "Not recorded yet" in made_pictures.section(tmp_path / "none.csv")
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ResultsError, match="does not record pictures"):
        made_pictures.section(tmp_path / "other.csv")
