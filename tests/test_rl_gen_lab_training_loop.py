"""The supervised loop: exact resume, early stopping, losses that are NaN."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from vision_runs import config, final, only_run

from rl_gen_lab import train
from rl_gen_lab.cli.errors import DivergedError, SaveError
from rl_gen_lab.cli.settings import WandbConfig
from rl_gen_lab.data.dataset import Split
from rl_gen_lab.runs import guards
from rl_gen_lab.runs.checkpoints import load_state
from rl_gen_lab.runs.folder import RunFolder
from rl_gen_lab.tracking.tracker import Tracker
from rl_gen_lab.training import run as training_run
from rl_gen_lab.training.loop import counters_of
from rl_gen_lab.vision.segmentation.task import SegmentationTask


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def without_clock(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if k not in ("wall_seconds", "val/ms_per_image")} for row in rows]


def hooked(monkeypatch: pytest.MonkeyPatch, hook: Callable[[int, dict[str, Tensor]], dict[str, Tensor]]) -> None:
    """Let `hook` see, and change, the losses of each update."""
    real, count = SegmentationTask.loss, [0]

    def loss(self: SegmentationTask, split: Split, indices: Tensor) -> dict[str, Tensor]:
        count[0] += 1
        return hook(count[0], real(self, split, indices))

    monkeypatch.setattr(SegmentationTask, "loss", loss)


def interrupted(path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    """A run of one epoch that Ctrl-C stopped after its second update."""
    hooked(monkeypatch, lambda count, losses: os.kill(os.getpid(), signal.SIGINT) or losses if count == 2 else losses)
    with pytest.raises(SystemExit):
        training_run.train(config(path, epochs=1))
    return only_run(path)


@pytest.mark.parametrize("at", [2, 6])
def test_a_run_that_was_stopped_ends_as_one_that_never_was(
    at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training_run.train(config(tmp_path / "whole"))

    def stop(count: int, losses: dict[str, Tensor]) -> dict[str, Tensor]:
        if count == at:
            os.kill(os.getpid(), signal.SIGINT)
        return losses

    with monkeypatch.context() as patch:
        hooked(patch, stop)
        with pytest.raises(SystemExit) as caught:
            training_run.train(config(tmp_path / "stopped"))
    assert caught.value.code == 130
    run, whole = only_run(tmp_path / "stopped"), only_run(tmp_path / "whole")
    assert run.read_result()["status"] == "interrupted" and len(run.read_metrics()) < len(whole.read_metrics())
    torch.manual_seed(123)  # whatever else the process did since
    train.main(["--resume", str(run.path)])
    assert same(final(run), final(whole))
    assert without_clock(run.read_metrics()) == without_clock(whole.read_metrics())
    assert run.read_result()["best_epoch"] == whole.read_result()["best_epoch"]


@pytest.mark.parametrize("at", [2, 5], ids=["validation", "test"])
def test_ctrl_c_is_heard_while_a_split_is_measured(
    at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    training_run.train(config(tmp_path / "whole"))
    real, count = SegmentationTask.evaluate, [0]

    def stop(self: SegmentationTask, split: Split, on_image: Callable[[int], None]) -> dict[str, float]:
        count[0] += 1
        if count[0] == at:
            os.kill(os.getpid(), signal.SIGINT)
        return real(self, split, on_image)

    with monkeypatch.context() as patch:
        patch.setattr(SegmentationTask, "evaluate", stop)
        with pytest.raises(SystemExit) as caught:
            training_run.train(config(tmp_path / "stopped"))
    assert caught.value.code == 130 and "resume with" in capsys.readouterr().out
    run, whole = only_run(tmp_path / "stopped"), only_run(tmp_path / "whole")
    assert run.read_result()["status"] == "interrupted"
    train.main(["--resume", str(run.path)])
    assert same(final(run), final(whole))
    assert without_clock(run.read_metrics()) == without_clock(whole.read_metrics())
    assert run.read_result()["test"]["miou"] == whole.read_result()["test"]["miou"]


def test_a_run_killed_before_its_first_checkpoint_begins_anew_and_ends_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def copy(count: int, losses: dict[str, Tensor]) -> dict[str, Tensor]:
        if count == 3:
            shutil.copytree(only_run(tmp_path / "whole").path, tmp_path / "killed")  # what a kill leaves
        return losses

    with monkeypatch.context() as patch:
        hooked(patch, copy)
        training_run.train(config(tmp_path / "whole"))
    run, whole = RunFolder.open(tmp_path / "killed"), only_run(tmp_path / "whole")
    assert not run.result_file.exists() and len(run.read_metrics()) == 2
    torch.manual_seed(123)  # whatever else the process did since
    train.main(["--resume", str(run.path)])
    assert same(final(run), final(whole))
    assert without_clock(run.read_metrics()) == without_clock(whole.read_metrics())


def test_a_run_of_another_version_is_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = interrupted(tmp_path, monkeypatch)
    described = run.read_config()
    described["config"]["segment"] |= {"invented": 1}
    del described["config"]["wandb"]
    run.write_config(described)
    monkeypatch.setenv("WANDB_MODE", "disabled")
    train.main(["--resume", str(run.path)])
    assert run.read_result()["status"] == "finished"
    assert capsys.readouterr().out.count("no such settings: segment.invented\n") == 1


def test_a_run_whose_last_checkpoint_the_disk_refused_is_finished_by_resuming_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    save, save_weights = guards.save_state, guards.save_weights

    def full_at_the_end(folder: Path, state: dict[str, Any]) -> None:
        if state["epoch"] == 2:
            raise SaveError("no space left on the disk")
        save(folder, state)

    def full_for_weights(file: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
        if metadata["epoch"] == "2":
            raise SaveError("no space left on the disk")
        save_weights(file, tensors, metadata)

    training_run.train(config(tmp_path / "whole", epochs=2))
    with monkeypatch.context() as patch, pytest.raises(SaveError, match="is not on disk: make room, then resume it"):
        patch.setattr(guards, "save_state", full_at_the_end)
        patch.setattr(guards, "save_weights", full_for_weights)
        training_run.train(config(tmp_path / "full", epochs=2))
    run, whole = only_run(tmp_path / "full"), only_run(tmp_path / "whole")
    assert run.read_result()["status"] == "failed" and run.read_result()["best_epoch"] == 1
    train.main(["--resume", str(run.path)])
    assert same(final(run), final(whole))
    assert run.read_result()["best_epoch"] == whole.read_result()["best_epoch"]


def test_a_run_of_several_processes_says_that_it_goes_on_in_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = interrupted(tmp_path, monkeypatch)
    assert "goes on in one" not in capsys.readouterr().out
    described = run.read_config()
    described["config"]["parallel"] = "spatial"
    run.write_config(described)
    train.main(["--resume", str(run.path)])
    assert capsys.readouterr().out.count("several processes shared this run; it goes on in one") == 1


def test_epochs_without_a_better_validation_are_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scores = iter([0.3, 0.2, 0.1, 0.2, 0.5, 0.1, 0.1])
    monkeypatch.setattr(SegmentationTask, "evaluate", lambda *_: {"miou": next(scores)})
    sent: list[str] = []
    monkeypatch.setattr(Tracker, "alert", lambda self, title, text: sent.append(f"{title} {text}"))
    training_run.train(config(tmp_path, epochs=5, wandb=WandbConfig("disabled", alert_evaluations=2)))
    assert capsys.readouterr().out.count("no better validation in 2 epochs") == 1 == len(sent)


def test_a_loss_that_is_nan_at_once_is_not_to_be_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hooked(monkeypatch, lambda count, losses: {"loss": losses["loss"] * torch.nan})
    with pytest.raises(DivergedError, match=r"became nan at update 1\. "):
        training_run.train(config(tmp_path))
    assert "resume with" not in capsys.readouterr().out


def test_another_seed_is_another_order(tmp_path: Path) -> None:
    training_run.train(config(tmp_path / "a", epochs=1))
    training_run.train(config(tmp_path / "b", epochs=1, seed=1))
    assert not same(final(only_run(tmp_path / "a")), final(only_run(tmp_path / "b")))


def test_a_loss_that_is_nan_stops_with_the_last_checkpoint_kept_and_is_not_to_be_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hooked(monkeypatch, lambda count, losses: losses if count < 6 else {"loss": losses["loss"] * torch.nan})
    with pytest.raises(DivergedError, match="became nan at update 6"):
        training_run.train(config(tmp_path))
    run = only_run(tmp_path)
    assert load_state(run.checkpoints / "latest")["updates"] == 4  # of the first epoch's end
    assert all(weight.isfinite().all() for weight in final(run).values())
    assert run.read_result()["status"] == "failed"
    assert "resume with" not in capsys.readouterr().out  # it would end there again


def test_training_stops_when_validation_no_longer_rises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scores = iter([0.1, 0.3, 0.2, 0.3, 0.9, 0.9])
    monkeypatch.setattr(SegmentationTask, "evaluate", lambda *_: {"miou": next(scores)})
    result = training_run.train(config(tmp_path, epochs=9, patience_epochs=2))
    assert (result["epochs"], result["best_epoch"]) == (4, 2)


def test_half_precision_learns_too(tmp_path: Path) -> None:
    base = config(tmp_path)
    result = training_run.train(replace(base, epochs=1, device=replace(base.device, precision="bfloat16")))
    assert 0 <= result["test"]["miou"] <= 1


@pytest.mark.parametrize(
    "change",
    [
        *({"epoch": number} for number in (0, 2, 3, 10**15)),
        *({"updates": number} for number in (0, 5, 7, 10**15)),
        *({"batch": number} for number in (0, 3, 5)),
        *({"best_epoch": 2}, {"best": None}, {"best_epoch": 10**9}),
    ],
)
def test_counters_that_contradict_each_other_are_refused(change: dict[str, Any]) -> None:
    counters = {"epoch": 1, "batch": 2, "updates": 6, "best": 0.5, "best_epoch": 1}
    assert counters_of(counters, 4, 2) == counters
    counters_of({"epoch": 0, "batch": 0, "updates": 0, "best": None, "best_epoch": 0}, 4, 2)
    with pytest.raises(ValueError, match=r"epochs"):
        counters_of(counters | change, 4, 2)
