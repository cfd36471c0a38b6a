"""Trained models loaded from their run folders."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
import vision_data

from rl_gen_lab import train
from rl_gen_lab.backbones.config import BackboneConfig
from rl_gen_lab.cli.settings import WandbConfig
from rl_gen_lab.data import dataset as data
from rl_gen_lab.runs.checkpoints import load_weights
from rl_gen_lab.runs.folder import RunFolder
from rl_gen_lab.training import run as training_run
from rl_gen_lab.training.config import Config
from rl_gen_lab.training.load import load_task
from rl_gen_lab.vision.detection.config import Model
from rl_gen_lab.vision.segmentation.config import SegmentConfig

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
