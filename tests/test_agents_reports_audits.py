"""The record of audits: a table of horizons and controls, and runs without one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agents import results
from agents.reports import audits
from agents.reports.run_record import RunDataError
from agents.reports.store import ResultsError
from rl_gen_lab.runs.folder import RunFolder


def a_run(path: Path) -> Path:
    path.mkdir()
    config = {
        "config": {"task": "dream", "dream": {"model": "pixels"}},
        "env_id": "pong",
        "data": "0",
        "commit": "c0ffee",
    }
    (path / "config.json").write_text(json.dumps(config))
    (path / "result.json").write_text(json.dumps({"wall_seconds": 120, "updates": 3_000}))
    summary = {"dreams": 10, "median_px": 1.25, "worst_tenth_px": 4.0, "near": 0.9, "vanished": 0.1, "doubled": 0.05}
    objects = {
        source: {"1": {"ball": summary}, "5": {"ball": {"dreams": 10, "vanished": 1.0}}} for source in audits.SOURCES
    }
    shares = {source: {"1": 1.0, "5": 0.5} for source in audits.SOURCES if source != "constant velocity"}
    told = {"events": 4, "told": 0.75, "false_per_1000": 1.5}
    audit = {"dreams": 10, "split": "test", "usable_horizon": 1, "objects": objects, "data": "folder/pong"}
    audit |= {"writing_right": shares, "wrong_pixels": shares, "rewards": told, "ends": told | {"events": 0}}
    (path / "audit.json").write_text(json.dumps(audit))
    return path


def test_a_table_has_a_line_for_each_horizon_of_dream_and_controls(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("<!-- results:audits:audits -->\nold\n<!-- /results:audits:audits -->\n")
    words = ["--record", "audits", "--what", "pixels", "--results-dir", str(tmp_path / "results")]
    results.main([str(a_run(tmp_path / "run")), *words, "--readme", str(readme)])
    text = readme.read_text()
    assert "**pixels** (pixels, 2.0 minutes, 3,000 updates), 10 dreams from `pong`, test split" in text
    assert "usable horizon 1 steps; 75% of 4 rewards told within 2 steps, 1.5 false ones in 1,000 steps" in text
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if "|" in line]
    assert rows[2] == ["dream", "1", "1.2 px, 15%", "1.00", "1"] and rows[3] == ["dream", "5", "-", "0.50", "0"]
    assert len(rows) == 2 + 2 * len(audits.SOURCES) and rows[6][:2] == ["constant velocity", "1"] and rows[6][3] == "-"


def test_a_run_without_an_audit_is_refused_with_the_command(tmp_path: Path) -> None:
    run = a_run(tmp_path / "run")
    for content in ("{}", "[]", '{"dreams": 3, "split": "test"}'):
        (run / "audit.json").write_text(content)
        with pytest.raises(RunDataError, match=r"python -m rl_gen_lab\.audit"):
            audits.row_of(RunFolder.open(run), "it")


def test_another_csv_is_refused_and_none_is_said(tmp_path: Path) -> None:
    assert "Not recorded yet" in audits.section(tmp_path / "none.csv")
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ResultsError, match="does not record audits"):
        audits.section(tmp_path / "other.csv")
