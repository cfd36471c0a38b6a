"""The tables of classic models."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest

from agents.reports import classic
from agents.reports.store import ResultsError
from rl_gen_lab.cli.errors import CheckpointError
from rl_gen_lab.runs.folder import RunFolder


def write(file: Path, *rows: dict[str, str]) -> Path:
    with file.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, classic.COLUMNS, restval="")
        writer.writeheader()
        writer.writerows(rows)
    return file


def row(features: str, test: str, data: str = "digits", **other: str) -> dict[str, str]:
    usual = {
        "task": "classic",
        "model": "svm",
        "goal": "top1",
        "latency_ms": "0.5",
        "bytes": "1000",
        "images": "test=9",
    }
    return usual | {"features": features, "test": test, "data": data, "hardware": "a core"} | other


def test_features_stand_from_worst_to_best_and_parts_are_one_line(tmp_path: Path) -> None:
    file = write(
        tmp_path / "classic.csv",
        row("hog", "top1=0.9", "faces_0", command="train classic --data package:faces/0"),
        row("hog", "top1=1", "faces_1", command="train classic --data package:faces/1"),
        row("pixels", "top1=0.5", "faces_0", command="train classic --data package:faces/0"),
    )
    lines = classic.section(file).splitlines()
    assert lines[0].startswith("`faces` (test=9), test split; a core")
    assert lines[4] == "| pixels | svm | 50.0 | 0.5 | 1,000 | 1 |"
    assert lines[5] == "| hog | svm | 95.0 ± 7.1 | 0.5 | 1,000 | 2 |"


def test_a_network_stands_in_the_same_table_by_the_same_metric(tmp_path: Path) -> None:
    network = row("resnet", "balanced_accuracy=0.99 top1=0.95", task="classify", goal="balanced_accuracy", model="max")
    lines = classic.section(write(tmp_path / "c.csv", network, row("hog", "top1=0.9"))).splitlines()
    assert [line.split("|")[3].strip() for line in lines[4:]] == ["90.0", "95.0"]


def test_the_name_of_a_folder_is_left_whole(tmp_path: Path) -> None:
    text = classic.section(
        write(tmp_path / "c.csv", row("hog", "balanced_accuracy=0.9", "pong_2000_0", goal="balanced_accuracy"))
    )
    assert text.startswith("`pong_2000_0`") and "balanced accuracy, %" in text


def test_detectors_have_a_table_of_their_metrics(tmp_path: Path) -> None:
    test = "f1=0.9 f1/ball=0.8 ap=0.4 ap50=0.5 ap50/ball=0.2 ms_per_image=3"
    text = classic.section(write(tmp_path / "c.csv", row("hog", test, "pong", model="sliding-window", goal="quality")))
    assert "| features | classifier | f1 | f1/ball | ap | ap50 | ms/image, 1 thread | bytes | runs |" in text
    assert "| hog | sliding-window | 0.900 | 0.800 | 0.400 | 0.500 | 0.5 | 1,000 | 1 |" in text


def test_a_run_is_recorded_with_its_bytes(tmp_path: Path) -> None:
    (path,) = (Path(__file__).parent / "recorded").glob("segment_unet__*")
    run = RunFolder(Path(shutil.copytree(path, tmp_path / path.name)))
    result = json.loads(run.result_file.read_text())
    finished = {"status": "finished", "goal": "miou", "latency_ms": 2.0, "test": {"miou": 0.5}, "val": {"miou": 0.5}}
    run.result_file.write_text(json.dumps(result | finished))
    found = classic.row_of(run, "a claim")
    assert tuple(found) == classic.COLUMNS
    assert int(found["bytes"]) == (run.path / "checkpoints" / "best.safetensors").stat().st_size
    assert found["features"] == "resnet"
    (run.path / "checkpoints" / "best.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"cannot read .*best.safetensors"):
        classic.row_of(run, "a claim")


def test_another_csv_is_refused_and_a_missing_one_is_said(tmp_path: Path) -> None:
    assert classic.section(tmp_path / "none.csv") == "Not recorded yet.\n"
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ResultsError, match="does not record classic models"):
        classic.section(tmp_path / "other.csv")
