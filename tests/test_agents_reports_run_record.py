"""A run record holds what the run wrote, and refuses a folder that lacks it."""

import json
from pathlib import Path

import pytest
from synthetic_runs import make_run

from agents.reports.run_record import RunDataError, load_run
from rl_gen_lab.cli.errors import CheckpointError
from rl_gen_lab.runs.folder import RunFolder


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError):
        load_run(tmp_path / "nothing")


def test_a_config_that_lacks_the_fingerprint_is_refused_by_name(tmp_path: Path) -> None:
    folder = RunFolder(make_run(tmp_path))
    config = json.loads(folder.config_file.read_text())
    del config["fingerprint"]
    folder.config_file.write_text(json.dumps(config))
    with pytest.raises(RunDataError, match=r"config\.json: lacks fingerprint"):
        load_run(folder.path)


def test_a_line_without_its_time_is_left_out(tmp_path: Path) -> None:
    folder = RunFolder(make_run(tmp_path))
    before = load_run(folder.path)
    with folder.metrics_file.open("a") as file:
        file.write('{"global_step": 7, "eval/return_mean": 3.0, "charts/episodic_return": 1.0}\n')
    assert load_run(folder.path).metrics == before.metrics


def test_a_run_of_a_vision_model_is_refused_by_its_command(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, "classify_resnet", "pong", 0)
    folder.write_config({"config": {}, "command": ["python -m rl_gen_lab.train", "classify"]})
    with pytest.raises(
        RunDataError, match=r"classify_resnet__\S* is a run of python -m rl_gen_lab\.train, not of an agent"
    ):
        load_run(folder.path)


def test_speed_and_memory_come_from_the_record(tmp_path: Path) -> None:
    run = load_run(make_run(tmp_path, seed=3, steps=120_000, minutes=10))
    assert run.steps_per_second == pytest.approx(200)
    assert run.peak_memory_mb == 953
    unfinished = load_run(make_run(tmp_path, seed=4, steps=120_000, minutes=10, status=None))
    assert unfinished.peak_memory_mb == 904
    assert unfinished.steps_per_second == pytest.approx(200)
