"""Recorded ledgers: rows, the table, the figure and its front."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from agents import results
from agents.reports import compression
from agents.reports.run_record import RunDataError
from agents.reports.store import ResultsError
from rl_gen_lab.runs.folder import RunFolder


def compression_run(path: Path) -> RunFolder:
    run = RunFolder.create(path, "compress", "Pong", 0)
    config = {"run": "/srv/somebody/runs/dqn__Pong__1"}
    run.write_config({"config": config, "env_id": "ALE/Pong-v5", "seed": 3, "exp_name": "compress", "command": ["x"]})
    stages = [
        {"stage": 0, "kind": "as it is", "settings": "", "bytes": 8_000, "ratio": 0.25, "ratio_all_networks": 1.0}
    ]
    stages += [stages[0] | {"stage": 1, "kind": "learn", "settings": "updates=9", "bytes": 500, "ratio": 4.0}]
    stages += [stages[1] | {"stage": 2, "kind": "quantize", "bytes": 100, "ratio": 20.0, "order0_bytes": 90}]
    scores = ({"score": s, "score_error": 0.5, "score_low": s - 0.8, "episodes": 20} for s in (18.0, 17.0, 17.5))
    ledger = [stage | score for stage, score in zip(stages, scores, strict=True)]
    run.write_result({"status": "finished", "ledger": ledger})
    return run


def recorded(tmp_path: Path) -> Path:
    run = compression_run(tmp_path / "runs")
    readme = tmp_path / "README.md"
    readme.write_text("<!-- results:compression:ledger -->\n<!-- /results:compression:ledger -->\n")
    words = ["--record", "compression", "--what", "a student", str(run.path), "--results-dir", str(tmp_path)]
    results.main([*words, "--readme", str(readme)])
    results.main([*words, "--readme", str(readme)])  # once more: replaced, not doubled
    return tmp_path / "compression.csv"


def test_every_stage_is_a_row_and_nothing_of_this_machine_is_kept(tmp_path: Path) -> None:
    file = recorded(tmp_path)
    rows = compression.read(file)
    assert [row["bytes"] for row in rows] == ["8000", "500", "100"]
    assert {row["source"] for row in rows} == {"dqn__Pong__1"} and "/srv" not in file.read_text()
    text = (tmp_path / "README.md").read_text()
    assert "**a student**" in text and "20 games a stage" in text
    assert "| 2 | quantize updates=9 | 100 | 20 | 17.5 ± 0.5 | 16.7 | 90 |" in text
    assert "| 0 | as it is | 8,000 | 0.25 |" in text


def test_the_figure_is_drawn_and_known_to_be_stale(tmp_path: Path) -> None:
    file = recorded(tmp_path)
    assert compression.is_current(file)
    with Image.open(compression.figure_of(file)) as image:
        assert image.width > 500
    file.write_text(file.read_text().replace("17.5", "17.6"))
    assert not compression.is_current(file)


def test_the_smallest_file_is_described_beside_its_teacher(tmp_path: Path) -> None:
    file = recorded(tmp_path)
    assert compression.smallest(file) == (
        "The smallest packed Pong policy within a point of its agent has 100 bytes and scores 17.50 ± 0.50 over 20"
        " games (standard error), 20 times smaller than one network of the agent, which scores 18.00 ± 0.50.\n"
    )
    file.write_text(file.read_text().replace("17.5,", "16.9,"))
    assert "has 500 bytes and scores 17.00" in compression.smallest(file)
    file.write_text(file.read_text().replace("17.0,", "16.9,"))
    assert compression.smallest(file).startswith("None of our packed policies")


def test_the_front_has_the_best_of_each_size() -> None:
    points = [(100.0, 17.5), (500.0, 17.0), (500.0, 17.8), (8_000.0, 18.0), (9_000.0, 18.0)]
    assert compression.pareto_front(points) == [(100.0, 17.5), (500.0, 17.8), (8_000.0, 18.0)]


def test_what_is_no_ledger_is_refused(tmp_path: Path) -> None:
    run = compression_run(tmp_path)
    run.write_result({"status": "interrupted"})
    with pytest.raises(RunDataError, match="no finished compression"):
        compression.rows_of(run, "x")
    for wrong in ({"score": "x"}, {"bytes": 0}, {"ratio": ""}, {"xz_bytes": []}, {"score_error": None}):
        ledger = compression_run(tmp_path).read_result()["ledger"]
        run.write_result({"status": "finished", "ledger": [*ledger[:1], ledger[1] | wrong]})
        with pytest.raises(RunDataError, match="no finished compression"):
            compression.rows_of(run, "x")
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ResultsError, match="does not record compressions"):
        compression.read(tmp_path / "other.csv")
    assert json.loads((run.path / "config.json").read_text())["seed"] == 3
