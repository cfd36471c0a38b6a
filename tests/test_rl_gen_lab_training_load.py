"""Trained models loaded from their run folders."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
import torch
from vision_runs import config, only_run

from rl_gen_lab import train
from rl_gen_lab.cli.errors import CheckpointError
from rl_gen_lab.data import dataset as data
from rl_gen_lab.runs.checkpoints import load_weights, save_weights
from rl_gen_lab.runs.folder import RunFolder
from rl_gen_lab.training import run as training_run
from rl_gen_lab.training.load import load_task, weights_digest
from rl_gen_lab.vision.detection.config import Model


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


@pytest.mark.slow
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


def test_models_of_an_earlier_version_are_loaded_and_score_as_recorded() -> None:
    recorded = Path(__file__).parent / "recorded"
    val = data.load(recorded / "pong").splits["val"]

    def best(run: RunFolder, metric: str) -> float:
        rows = [row[f"val/{metric}"] for row in run.read_metrics() if f"val/{metric}" in row]
        return float(rows[run.read_result()["best_epoch"] - 1])

    run = RunFolder.open(recorded / "caption_attention__pong__0__20261128-131715")
    with torch.no_grad():
        metrics = load_task(run.path, "caption").evaluate(val, lambda done: None)
    assert metrics["slot_accuracy"] == pytest.approx(best(run, "slot_accuracy"), abs=1e-6)
    run = RunFolder.open(recorded / "segment_unet__pong__0__20261128-131711")
    true = torch.stack([val.semantic(i) for i in range(len(val))])
    accuracy = (load_task(run.path, "segment").predict(val.images) == true).float().mean()
    assert float(accuracy) == pytest.approx(best(run, "accuracy"), abs=1e-4)


def test_the_digest_is_of_the_weights_and_not_of_the_file(tmp_path: Path) -> None:
    training_run.train(config(tmp_path / "runs", epochs=1))
    run = only_run(tmp_path / "runs")
    file = run.checkpoints / "best.safetensors"
    weights, _ = load_weights(file)
    before = weights_digest(run.path)
    save_weights(file, weights, {"other": "metadata"})
    assert weights_digest(run.path) == before
    name = next(iter(weights))
    save_weights(file, weights | {name: weights[name] + 1}, {})
    assert weights_digest(run.path) != before


def test_no_network_is_built_for_images_of_too_many_pixels(tmp_path: Path) -> None:
    training_run.train(config(tmp_path, epochs=1))
    run = only_run(tmp_path)
    run.write_config(run.read_config() | {"image_size": [16_384, 16_384]})
    with pytest.raises(CheckpointError, match="its images are 16,384 x 16,384: no network here reads so many pixels"):
        load_task(run.path, "segment")
