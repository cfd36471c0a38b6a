"""Two-stage detectors: eight images by heart, their losses, their recall, exact resume."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import torch
import vision_data
from torch import Tensor

from rl_gen_lab import train
from rl_gen_lab.backbones.config import BackboneConfig
from rl_gen_lab.cli.settings import DeviceConfig, WandbConfig
from rl_gen_lab.compute.optimizers import OptimizerConfig
from rl_gen_lab.data.dataset import Split
from rl_gen_lab.data.records import DataError
from rl_gen_lab.runs.checkpoints import load_state
from rl_gen_lab.training import run as training_run
from rl_gen_lab.training.config import Config
from rl_gen_lab.vision.detection.config import DetectConfig, Model
from rl_gen_lab.vision.detection.models import make_detector
from rl_gen_lab.vision.detection.roi_heads import CropNetwork, RegionNetwork
from rl_gen_lab.vision.detection.two_stage import TwoStageTask

CPU = torch.device("cpu")


SMALL = BackboneConfig(width=16, stages=2, depth=1, norm="batch")


def task(model: Model) -> TwoStageTask:
    torch.manual_seed(0)
    made = make_detector(DetectConfig(model, choices=SMALL, shapes=3, proposals=16), vision_data.dataset(), CPU)
    assert isinstance(made, TwoStageTask)
    return made


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "updates", "f1", "ap"),
    [
        ("sliding-window", 60, 0.9, 0.4),
        ("rcnn", 60, 1.0, 0.9),
        ("fast-rcnn", 80, 1.0, 0.85),
        ("faster-rcnn", 120, 0.95, 0.85),
        ("mask-rcnn", 120, 0.95, 0.85),
    ],
)
def test_eight_pictures_are_learned_by_heart(model: Model, updates: int, f1: float, ap: float) -> None:
    """Windows stay where they are, so that their overlaps with objects are smaller."""
    loss, found = vision_data.learn_by_heart(task(model), updates, 5e-3)
    assert loss < (0.5 if model == "mask-rcnn" else 0.3)
    assert found["f1"] >= f1 and found["f1/ball"] == 1.0
    assert found["ap50"] > 0.95 and found["ap"] > ap
    assert found["proposal_recall"] == 1.0
    assert ("mask_ap50" in found) == (model == "mask-rcnn") and found.get("mask_ap50", 1.0) > 0.95


def test_masks_are_needed_for_mask_rcnn_and_for_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    def masks(self: Split, index: int) -> Tensor:
        raise DataError("object 3 has no mask")

    monkeypatch.setattr(Split, "masks", masks)
    task("faster-rcnn")
    with pytest.raises(DataError, match="has no mask"):
        task("mask-rcnn")


def test_proposals_are_those_of_the_rung_and_the_loss_names_their_parts() -> None:
    split, rows = vision_data.eight(), torch.arange(2)
    assert task("rcnn").loss(split, rows).keys() == {"loss", "class", "box"}
    learned = {"loss", "class", "box", "proposal_class", "proposal_box"}
    assert task("faster-rcnn").loss(split, rows).keys() == learned
    assert task("mask-rcnn").loss(split, rows).keys() == learned | {"mask"}
    assert isinstance(task("sliding-window").network, CropNetwork) and isinstance(task("rcnn").network, CropNetwork)
    for model in ("fast-rcnn", "faster-rcnn", "mask-rcnn"):
        network = task(model).network
        assert isinstance(network, RegionNetwork)
        assert (network.proposer is None, network.mask_head is None) == (model == "fast-rcnn", model != "mask-rcnn")


def test_the_loss_of_every_part_reaches_the_backbone() -> None:
    made = task("mask-rcnn")
    made.loss(vision_data.eight(), torch.arange(2))["loss"].backward()
    assert all(weight.grad is not None and bool((weight.grad != 0).any()) for weight in made.network.parameters())


@pytest.mark.parametrize("model", ["sliding-window", "rcnn", "fast-rcnn", "mask-rcnn"])
def test_pictures_in_which_there_is_nowhere_to_look(model: Model) -> None:
    made, labeled = task(model), vision_data.eight()
    blank = Split("blank", torch.full_like(labeled.images, 7), labeled.labels)
    loss = made.loss(blank, torch.arange(4))["loss"]
    loss.backward()
    assert loss.isfinite()
    made.network.eval()
    with torch.no_grad():
        found = made.predict(blank.images[:2])
    if model != "mask-rcnn":  # whose proposals are never none
        assert [len(one.boxes) for one in found] == [0, 0]


def test_the_recall_of_proposals_is_the_share_of_objects_that_they_overlap() -> None:
    made, split = task("rcnn"), vision_data.eight()
    first, total = split.boxes(0)[0][:1], sum(len(split.boxes(row)[0]) for row in range(8))
    made.search = lambda image: first if torch.equal(image, split.images[0]) else torch.zeros(0, 4)
    with torch.no_grad():
        assert made.evaluate(split, lambda done: None)["proposal_recall"] == pytest.approx(1 / total)


def test_a_stopped_run_of_random_samples_goes_on_exactly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """mask-rcnn draws boxes at random and has every kind of loss; in half precision, as on a GPU."""

    def config(name: str, epochs: int) -> Config:
        return Config(
            task="detect",
            data=vision_data.folder(),
            epochs=epochs,
            batch_size=8,
            runs_dir=tmp_path / name,
            detect=DetectConfig("mask-rcnn", choices=SMALL, shapes=2, proposals=8),
            optimizer=OptimizerConfig(schedule="constant"),
            wandb=WandbConfig("disabled"),
            device=DeviceConfig(precision="bfloat16"),
        )

    whole = training_run.train(config("whole", 2))
    real, count = TwoStageTask.loss, [0]

    def stop(self: TwoStageTask, split: Split, indices: Tensor) -> dict[str, Tensor]:
        count[0] += 1
        if count[0] == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return real(self, split, indices)

    with monkeypatch.context() as patch:
        patch.setattr(TwoStageTask, "loss", stop)
        with pytest.raises(SystemExit):
            training_run.train(config("stopped", 2))
    (path,) = (tmp_path / "stopped").iterdir()
    torch.manual_seed(99)
    train.main(["--resume", str(path)])
    (other,) = (tmp_path / "whole").iterdir()
    runs = [load_state(folder / "checkpoints" / "latest")["network"] for folder in (path, other)]
    assert all(torch.equal(weight, runs[1][name]) for name, weight in runs[0].items())
    assert {"f1", "ap50", "mask_ap50"} <= whole["test"].keys()
