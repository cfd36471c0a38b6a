"""Going on with a compression: with its own settings, and with what it began with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from rl_gen_lab.cli.errors import CheckpointError, ConfigError
from rl_gen_lab.compression.resuming import INPUTS, nothing_left, refuse_changed, refuse_lost_files, saved_config
from rl_gen_lab.runs.folder import RunFolder

COMMAND = "rl_gen_lab.compress"


@dataclass(frozen=True)
class Config:
    seed: int = 0
    resume: Path | None = None


def folder(path: Path, **about: Any) -> RunFolder:
    run = RunFolder(path)
    run.write_config({"command": [f"python -m {COMMAND}", "RUN"], "config": {"seed": 7}} | about)
    return run


def test_its_own_settings_hold_and_no_other_flag_is_taken(tmp_path: Path) -> None:
    run = folder(tmp_path)
    assert saved_config(Config, run, COMMAND, ["--resume", str(tmp_path)]) == Config(7)
    with pytest.raises(ConfigError, match="--seed cannot be changed"):
        saved_config(Config, run, COMMAND, ["--resume", str(tmp_path), "--seed", "1"])
    with pytest.raises(ConfigError, match="unexpected argument"):
        saved_config(Config, run, COMMAND, ["other_run", "--resume", str(tmp_path)])
    with pytest.raises(CheckpointError, match=r"is a run of python -m rl_gen_lab.compress, not of python -m agents"):
        saved_config(Config, run, "agents.compress", ["--resume", str(tmp_path)])


def test_a_finished_one_has_nothing_left(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = folder(tmp_path)
    assert not nothing_left(run)
    run.write_result({"status": "interrupted"})
    assert not nothing_left(run) and not capsys.readouterr().out
    run.write_result({"status": "finished"})
    assert nothing_left(run)
    assert f"its ledger is {tmp_path / 'ledger.csv'}" in capsys.readouterr().out


def test_another_input_under_the_same_name_is_refused(tmp_path: Path) -> None:
    run = folder(tmp_path, **{INPUTS: {"the weights of a": "123", "the data in b": "456"}})
    refuse_changed(run, {"the weights of a": "123", "the data in b": "456"})
    with pytest.raises(CheckpointError, match=r"the data in b changed since .* began: start a new compression"):
        refuse_changed(run, {"the weights of a": "123", "the data in b": "789"})
    refuse_changed(folder(tmp_path / "old"), {"the weights of a": "123"})  # a run of before such digests were kept


def test_a_compression_of_nothing_is_refused(tmp_path: Path) -> None:
    run = folder(tmp_path, **{INPUTS: {}})
    with pytest.raises(CheckpointError, match="names nothing that the compression began with"):
        refuse_changed(run, {"the teacher": "abc"})
    refuse_changed(folder(tmp_path), {"the teacher": "abc"})  # from before they were kept


def test_files_of_stages_are_those_of_their_rows(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    rows = [{"stage": 0, "bytes": 99}, {"stage": 1, "bytes": 3}, {"stage": 2, "bytes": 4}]
    (tmp_path / "stage1_prune.rlz").write_bytes(b"abc")
    with pytest.raises(CheckpointError, match=r"stage2_quantize\.rlz is missing"):
        refuse_lost_files(run, ["prune", "quantize"], rows)
    (tmp_path / "stage2_quantize.rlz").write_bytes(b"abc")
    with pytest.raises(CheckpointError, match=r"stage2_quantize\.rlz has 3 bytes, its row in the ledger says 4"):
        refuse_lost_files(run, ["prune", "quantize"], rows)
    (tmp_path / "stage2_quantize.rlz").write_bytes(b"abcd")
    refuse_lost_files(run, ["prune", "quantize"], rows)
