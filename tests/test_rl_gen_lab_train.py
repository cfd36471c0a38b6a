"""The supervised loop: its record, exact resume, early stopping, a loss that is NaN, what it refuses."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
import vision_data
from PIL import Image
from torch import Tensor

from envs import scenes
from rl_gen_lab import train
from rl_gen_lab.backbones.config import BackboneConfig
from rl_gen_lab.cli.errors import CheckpointError, ConfigError, DivergedError
from rl_gen_lab.cli.settings import WandbConfig
from rl_gen_lab.compute.optimizers import OptimizerConfig, Schedule, make_optimizer
from rl_gen_lab.data import dataset as data
from rl_gen_lab.data.dataset import Split
from rl_gen_lab.runs.checkpoints import load_state, load_weights
from rl_gen_lab.runs.folder import RunFolder
from rl_gen_lab.training import run as training_run
from rl_gen_lab.training.config import Config
from rl_gen_lab.training.load import load_task
from rl_gen_lab.training.loop import Loop
from rl_gen_lab.training.tasks import TASKS
from rl_gen_lab.vision.detection.config import DetectConfig, Model
from rl_gen_lab.vision.segmentation.config import SegmentConfig
from rl_gen_lab.vision.segmentation.task import SegmentationTask

UNET = SegmentConfig(choices=BackboneConfig(width=4, branches=4, stages=2, depth=1, norm="batch", dropout=0.1))


def config(path: Path, **changes: Any) -> Config:
    base = Config(
        data=vision_data.folder(),
        epochs=3,
        runs_dir=path,
        batch_size=4,
        log_every_updates=1,
        wandb=WandbConfig("disabled"),
    )
    return replace(base, **({} if "task" in changes else {"segment": UNET}) | changes)


def only_run(path: Path) -> RunFolder:
    (found,) = path.iterdir()
    return RunFolder.open(found)


def final(run: RunFolder) -> dict[str, Tensor]:
    return load_state(run.checkpoints / "latest")["network"]  # type: ignore[no-any-return]


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


def test_a_run_leaves_its_record_and_measures_the_test_split_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    measured: list[str] = []
    real = Loop.measure
    monkeypatch.setattr(Loop, "measure", lambda self, name: measured.append(name) or real(self, name))
    result = training_run.train(config(tmp_path))
    assert measured == ["val"] * 4 + ["test"]
    run = only_run(tmp_path)
    assert run.path.name.startswith("segment_unet__pictures__0__")
    assert run.read_result() == json.loads(json.dumps(result)) and result["status"] == "finished"
    assert (result["epochs"], result["updates"]) == (3, 12)
    assert 0 < result["latency_ms"] < 10_000
    rows = run.read_metrics()
    assert [row["global_step"] for row in rows if "losses/loss" in row] == list(range(1, 13))
    values = [row["val/miou"] for row in rows if "val/miou" in row]
    assert len(values) == 3 and result["best_epoch"] == 1 + values.index(max(values))
    weights, about = load_weights(run.checkpoints / "best.safetensors")
    assert about["task"] == "segment" and weights.keys() == final(run).keys()
    about_run = run.read_config()
    assert about_run["categories"] == ["ball", "paddle"] and about_run["data"] == about["data"]
    said = capsys.readouterr().out
    assert "16 train, 2 val, 2 test" in said and "W&B: disabled" in said
    with pytest.raises(CheckpointError, match="has ended"):
        training_run.train(config(tmp_path, resume=run.path))


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


def test_a_loss_that_is_nan_at_once_names_no_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hooked(monkeypatch, lambda count, losses: {"loss": losses["loss"] * torch.nan})
    with pytest.raises(DivergedError, match=r"at update 1\. No checkpoint was written before"):
        training_run.train(config(tmp_path))
    assert "resume with" not in capsys.readouterr().out


def test_another_seed_is_another_order(tmp_path: Path) -> None:
    training_run.train(config(tmp_path / "a", epochs=1))
    training_run.train(config(tmp_path / "b", epochs=1, seed=1))
    assert not same(final(only_run(tmp_path / "a")), final(only_run(tmp_path / "b")))


def test_a_loss_that_is_nan_stops_with_the_last_checkpoint_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hooked(monkeypatch, lambda count, losses: losses if count < 6 else {"loss": losses["loss"] * torch.nan})
    with pytest.raises(DivergedError, match="became nan at update 6"):
        training_run.train(config(tmp_path))
    run = only_run(tmp_path)
    assert load_state(run.checkpoints / "latest")["updates"] == 4  # of the first epoch's end
    assert all(weight.isfinite().all() for weight in final(run).values())
    assert run.read_result()["status"] == "failed"


def test_training_stops_when_validation_no_longer_rises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scores = iter([0.1, 0.3, 0.2, 0.3, 0.9, 0.9])
    monkeypatch.setattr(SegmentationTask, "evaluate", lambda *_: {"miou": next(scores)})
    result = training_run.train(config(tmp_path, epochs=9, patience_epochs=2))
    assert (result["epochs"], result["best_epoch"]) == (4, 2)


def test_half_precision_learns_too(tmp_path: Path) -> None:
    base = config(tmp_path)
    result = training_run.train(replace(base, epochs=1, device=replace(base.device, precision="bfloat16")))
    assert 0 <= result["test"]["miou"] <= 1


def test_frames_of_a_game_are_learned_from_their_files(tmp_path: Path) -> None:
    path = scenes.write(scenes.Config("Pong", frames=20, every=8, out=tmp_path / "pong"))
    flags = ["segment", "--data", str(path), "--runs-dir", str(tmp_path / "runs"), "--wandb.mode", "disabled"]
    flags += ["--segment.model", "fcn", "--segment.width", "4", "--epochs", "1", "--batch-size", "4"]
    train.main(flags)
    result = only_run(tmp_path / "runs").read_result()
    assert {"iou/player", "iou/enemy", "accuracy"} <= result["test"].keys()


@pytest.mark.parametrize("task", ["localize", "detect", "classify"])
def test_a_backbone_without_choices_serves_and_the_saved_model_says_the_same(task: str, tmp_path: Path) -> None:
    flags = [
        task,
        "--data",
        str(config(tmp_path).data),
        "--runs-dir",
        str(tmp_path / "runs"),
        "--wandb.mode",
        "disabled",
    ]
    train.main([*flags, f"--{task}.backbone", "impala", "--epochs", "1"])
    run = only_run(tmp_path / "runs")
    assert (
        load_task(run.path, task).network.state_dict().keys()
        == load_weights(run.checkpoints / "best.safetensors")[0].keys()
    )


@pytest.mark.parametrize("model", get_args(Model))
def test_every_detector_is_loaded_from_its_run_and_finds_the_same(model: Model, tmp_path: Path) -> None:
    base = config(tmp_path / "runs", task="detect")
    small = replace(base, epochs=1, detect=replace(base.detect, model=model, proposals=8))
    training_run.train(small)
    run = only_run(tmp_path / "runs")
    task = load_task(run.path, "detect")
    split = data.load(base.data).splits["test"]
    found = task.evaluate(split, lambda done: None)
    recorded = run.read_result()["test"]
    assert {name: found[name] for name in ("f1", "ap50")} == {name: recorded[name] for name in ("f1", "ap50")}


def test_what_cannot_be_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def refused(*flags: str) -> str:
        with pytest.raises(SystemExit) as caught:
            train.main(list(flags))
        assert caught.value.code == 2
        (line,) = capsys.readouterr().err.splitlines()
        return line

    assert "--data FOLDER" in refused("segment")
    assert "there is no folder" in refused("segment", "--data", str(tmp_path / "nowhere"))
    assert "invalid choice" in refused("segments")
    assert not (tmp_path / "runs").exists()
    training_run.train(config(tmp_path / "runs", epochs=1))
    run = only_run(tmp_path / "runs")
    assert "--epochs cannot be changed" in refused("--resume", str(run.path), "--epochs", "9")
    (run.path / "result.json").unlink()
    other = config(tmp_path, data=vision_data.write(tmp_path / "other", seed=1), resume=run.path)
    with pytest.raises(CheckpointError, match="was trained with data"):
        training_run.train(other)


def test_a_run_is_not_resumed_on_other_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = vision_data.write(tmp_path / "own")
    training_run.train(config(tmp_path / "runs", epochs=1, data=own))
    assert "left out" not in capsys.readouterr().out
    run = only_run(tmp_path / "runs")
    (run.path / "result.json").unlink()
    file = own / "images" / "7.png"
    before = file.read_bytes()
    pixels = np.array(Image.open(file))
    pixels[20, 20, 0] += 1
    Image.fromarray(pixels).save(file)
    with pytest.raises(CheckpointError, match=r"was trained on other images than .*own holds now"):
        training_run.train(config(tmp_path, data=own, resume=run.path))
    file.write_bytes(before)
    training_run.train(config(tmp_path, data=own, resume=run.path, epochs=1))
    assert run.read_result()["status"] == "finished"
    (run.path / "result.json").unlink()
    about = run.read_config()
    del about["pixels"]  # as of a run made before pictures were looked at
    run.write_config(about)
    Image.fromarray(pixels).save(file)
    training_run.train(config(tmp_path, data=own, resume=run.path, epochs=1))


def test_images_left_out_for_a_crowd_are_counted_aloud(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = vision_data.write(tmp_path / "own", images=30)
    file = own / "annotations" / "instances.json"
    labels = json.loads(file.read_text())
    labels["annotations"][0]["iscrowd"] = 1
    file.write_text(json.dumps(labels))
    training_run.train(config(tmp_path / "runs", epochs=1, data=own))
    assert "\nleft out, for they show crowds (iscrowd): 1 images" in capsys.readouterr().out


def test_a_category_that_a_split_never_shows_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = vision_data.write(tmp_path / "own")
    file = own / "annotations" / "instances.json"
    labels = json.loads(file.read_text())
    labels["annotations"] = [a for a in labels["annotations"] if a["category_id"] == 2 or a["image_id"] % 10 != 8]
    file.write_text(json.dumps(labels))
    training_run.train(config(tmp_path / "runs", epochs=1, data=own))
    said = capsys.readouterr().out
    assert "\nno val image shows ball: val says nothing about it" in said and "no test image" not in said


def test_settings_of_another_task_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"--segment\.\* are settings of segment, but the task is detect"):
        Config(task="detect", segment=UNET)


@pytest.mark.parametrize("task", ["caption", "classify", "detect", "localize", "segment"])
def test_labels_are_smoothed_where_that_is_asked_for(task: Any, tmp_path: Path) -> None:
    base = Config(task=task)
    found = data.load(scenes.write(scenes.Config("Pong", frames=20, every=8, out=tmp_path / "pong")))
    split, losses = found.splits["train"], []
    for share in (0.0, 0.2):
        settings = replace(getattr(base, task), label_smoothing=share)
        torch.manual_seed(0)
        learner = TASKS[task](replace(base, **{task: settings}), found, torch.device("cpu"))
        losses.append(float(learner.loss(split, torch.arange(4))["loss"].detach()))
    assert losses[0] != losses[1]
    with pytest.raises(ConfigError, match="label_smoothing"):
        replace(getattr(base, task), label_smoothing=1.5)


@pytest.mark.parametrize("name", ["sgd", "adagrad", "rmsprop", "adam", "adamw"])
@pytest.mark.parametrize("schedule", ["constant", "step", "cosine", "plateau"])
def test_optimisers_and_schedules_are_saved_and_go_on(name: str, schedule: str) -> None:
    def made() -> tuple[torch.nn.Linear, torch.optim.Optimizer, Schedule]:
        torch.manual_seed(0)
        network = torch.nn.Linear(3, 1)
        settings = OptimizerConfig(name=name, schedule=schedule, every_epochs=1)  # type: ignore[arg-type]
        optimizer = make_optimizer(network, settings)
        return network, optimizer, Schedule(optimizer, settings, 2, 4)

    def update(network: torch.nn.Linear, optimizer: torch.optim.Optimizer, rates: Schedule, times: int) -> None:
        for i in range(times):
            optimizer.zero_grad()
            network(torch.ones(2, 3)).square().sum().backward()
            optimizer.step()
            rates.after_update()
            if i % 2:
                rates.after_validation(0.0)

    whole, stopped, resumed = made(), made(), made()
    update(*whole, times=8)
    update(*stopped, times=4)
    for before, after in zip(stopped, resumed, strict=True):
        after.load_state_dict(before.state_dict())
    update(*resumed, times=4)
    assert torch.equal(whole[0].weight, resumed[0].weight)
    rate = whole[1].param_groups[0]["lr"]
    assert rate == resumed[1].param_groups[0]["lr"]
    assert (rate == 2e-3) == (schedule == "constant")


def test_impossible_settings_are_refused() -> None:
    for wrong in (
        lambda: OptimizerConfig(learning_rate=0),
        lambda: OptimizerConfig(name="adam", nesterov=True),
        lambda: OptimizerConfig(momentum=-1),
        lambda: OptimizerConfig(weight_decay=-1),
        lambda: OptimizerConfig(max_grad_norm=-1),
        lambda: DetectConfig(nms_iou=7),
        lambda: DetectConfig(score=-0.1),
        lambda: Config(batch_size=0),
        lambda: SegmentConfig(patches=1),
    ):
        with pytest.raises(ConfigError):
            wrong()
