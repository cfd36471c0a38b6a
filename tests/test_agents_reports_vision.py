"""Runs of vision models are recorded once each and shown in one table per task."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from synthetic_runs import make_run

from agents import results
from agents.reports import vision
from agents.reports.recorded_runs import record
from agents.reports.run_record import RunDataError
from agents.reports.store import ResultsError, read_csv
from rl_gen_lab.runs.folder import RunFolder


def vision_run(path: Path, model: str, f1: float, task: str = "detect", **changes: Any) -> Path:
    """A run folder of `rl_gen_lab.train` as far as a record reads it."""
    folder = RunFolder.create(path, f"{task}_{model}", "pong_5000_0", 0).path
    test = {"f1": f1, "f1/ball": f1 / 2, "ap50": 0.75, "ms_per_image": 9.0}
    if model == "mask-rcnn":
        test["mask_ap50"] = 0.625
    config = {
        "config": {"task": task, task: {"model": model}, "device": {"threads": 1}},
        "env_id": "pong_5000_0",
        "exp_name": f"{task}_{model}",
        "seed": 3,
        "data": "0123456789ab",
        "images": {"train": 4000, "val": 500, "test": 500},
        "versions": {"torch": "2.13.0"},
        "hardware": {"cpu": "X", "cores": 2, "memory_gb": 7.6, "gpu": ""},
        "commit": "abc",
        "command": ["python -m rl_gen_lab.train", task, "--runs-dir", "somewhere", "--data", "datasets/pong_5000_0"],
        "started": "2026-01-02T03:04:05+0000",
    }
    result = {"status": "finished", "epochs": 5, "updates": 2500, "best_epoch": 4, "goal": "f1", "parameters": 56784}
    result |= {"wall_seconds": 754.0, "peak_memory_mb": 900.4, "latency_ms": 14.444, "val": {"f1": 0.9}, "test": test}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "result.json").write_text(json.dumps(result | changes))
    return folder


def test_a_row_holds_what_the_run_measured(tmp_path: Path) -> None:
    folder = vision_run(tmp_path, "ssd", 0.5)
    row = vision.row_of(RunFolder.open(folder), "claim")
    assert tuple(row) == vision.COLUMNS
    assert (row["task"], row["model"], row["data"], row["labels"]) == ("detect", "ssd", "pong_5000_0", "0123456789ab")
    assert (row["minutes"], row["latency_ms"], row["parameters"], row["threads"]) == ("12.57", "14.44", "56784", "1")
    assert row["test"] == "f1=0.5 f1/ball=0.25 ap50=0.75 ms_per_image=9" and row["images"].startswith("train=4000")
    assert row["command"] == "python -m rl_gen_lab.train detect --data datasets/pong_5000_0"
    assert (row["commit"], row["date"], row["seed"]) == ("abc", "2026-01-02", "3")
    assert row["hardware"] == "X, 2 cores, 8 GB, no GPU"


def test_runs_are_recorded_by_the_command_and_shown_best_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("<!-- results:vision:models -->\n<!-- /results:vision:models -->\n")
    flags = ["--results-dir", str(tmp_path / "results"), "--readme", str(readme)]
    results.main(flags)
    assert "Not recorded yet" in readme.read_text()
    runs = [vision_run(tmp_path, name, f1) for name, f1 in (("ssd", 0.5), ("mask-rcnn", 0.875))]
    runs.append(vision_run(tmp_path, "unet", 0.25, "segment"))
    for _ in range(2):  # the second time each row is replaced
        results.main([*map(str, runs), "--record", "vision", "--what", "Pong", *flags])
    _, rows = read_csv(tmp_path / "results" / "vision.csv")
    assert [row["model"] for row in rows] == ["ssd", "mask-rcnn", "unet"]
    text = readme.read_text()
    head, mask, ssd = [line for line in text.splitlines() if line.startswith("|") and "---" not in line][:3]
    assert head.startswith("| model | f1 | f1/ball | ap50 | mask_ap50 | ms/frame, 1 thread | parameters |")
    assert mask == "| mask-rcnn | 0.875 | 0.438 | 0.750 | 0.625 | 14.44 | 56,784 | 12.57 | 5 |"
    assert ssd.startswith("| ssd | 0.500 | 0.250 | 0.750 | - |")
    assert text.count("test split; Pong, seed 3, X, 2 cores") == 2  # stated once for all rows
    results.main(["--check", *flags])


@pytest.mark.parametrize("changes", [{"status": "interrupted"}, {"test": {}}])
def test_only_finished_runs_are_recorded(tmp_path: Path, changes: dict[str, Any]) -> None:
    folder = vision_run(tmp_path, "ssd", 0.5, **changes)
    with pytest.raises(RunDataError, match="only finished runs"):
        vision.row_of(RunFolder.open(folder), "claim")


def test_agents_and_vision_models_do_not_mix(tmp_path: Path) -> None:
    agent = results.row_of(make_run(tmp_path), "claim", None)
    model = results.row_of(vision_run(tmp_path, "ssd", 0.5), "claim", None)
    file = tmp_path / "vision.csv"
    with pytest.raises(ResultsError, match="not recorded in one file"):
        record(file, [agent, model])
    record(file, [model])
    with pytest.raises(ResultsError, match="other columns"):
        record(file, [agent])
    other = tmp_path / "other.csv"
    other.write_text("what,megabytes\nreplay,710\n")
    with pytest.raises(ResultsError, match="does not record vision models"):
        vision.section(other)


def test_a_task_that_no_table_knows_shows_its_metrics_but_not_those_of_categories(tmp_path: Path) -> None:
    file = tmp_path / "vision.csv"
    record(file, [results.row_of(vision_run(tmp_path, "plain", 0.5, "tell"), "claim", None)])
    assert "| model | f1 | ap50 | ms/frame, 1 thread |" in vision.section(file)
