"""The rungs with two stages: eight pictures by heart, proposals, windows, what is sampled, masks pasted back."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
import vision_data
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from torch import Tensor

from rl_gen_lab import train
from rl_gen_lab.backbones.config import BackboneConfig
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.cli.settings import DeviceConfig, WandbConfig
from rl_gen_lab.compute.optimizers import OptimizerConfig
from rl_gen_lab.data.coco import DataError
from rl_gen_lab.data.dataset import Split
from rl_gen_lab.runs.checkpoints import load_state
from rl_gen_lab.training import run as training_run
from rl_gen_lab.training.config import Config
from rl_gen_lab.vision.box_metrics import Detections, average_precision, run_lengths
from rl_gen_lab.vision.boxes import encode, iou
from rl_gen_lab.vision.detection.anchors import all_sides, cluster_shapes
from rl_gen_lab.vision.detection.common import box_loss
from rl_gen_lab.vision.detection.config import DetectConfig, Model
from rl_gen_lab.vision.detection.models import make_detector
from rl_gen_lab.vision.detection.proposals import ColorRegions, cut_into_tiles, regions
from rl_gen_lab.vision.detection.roi_heads import CropNetwork, RegionNetwork, mask_targets, paste
from rl_gen_lab.vision.detection.sliding_windows import Windows, strides
from rl_gen_lab.vision.detection.two_stage import SAMPLES, TwoStageTask

CPU = torch.device("cpu")
SMALL = BackboneConfig(width=16, stages=2, depth=1, norm="batch")


def task(model: Model) -> TwoStageTask:
    torch.manual_seed(0)
    made = make_detector(DetectConfig(model, choices=SMALL, shapes=3, proposals=16), vision_data.dataset(), CPU)
    assert isinstance(made, TwoStageTask)
    return made


# ---- learning


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


def test_what_is_sampled_is_on_objects_near_them_and_elsewhere() -> None:
    made = task("faster-rcnn")
    boxes, kinds = vision_data.eight().boxes(0)
    candidates = torch.cat((boxes + torch.tensor([1.0, 4, 1, 4]), torch.tensor([[0.0, 0, 3, 3]]).expand(90, 4)))
    sampled, classes, places, used, matched = made._sample(candidates, boxes, kinds)
    assert sampled.shape == (SAMPLES, 4)
    positive = classes > 0
    assert 2 <= int(positive.sum()) <= SAMPLES // 2 and bool(used[positive].all())
    overlaps = iou(sampled, boxes)
    assert (classes[positive] == 1 + kinds[matched[positive]]).all()
    assert (overlaps[positive].gather(1, matched[positive][:, None]) >= 0.5).all()
    torch.testing.assert_close(places[positive], encode(boxes[matched[positive]], sampled[positive]))
    assert (overlaps[~positive & used].amax(1) < 0.3).all()


def test_a_ball_is_not_lost_among_a_hundred_bricks() -> None:
    made = task("faster-rcnn")
    bricks = torch.tensor([[4.0 * x, 3 * y, 4 * x + 4, 3 * y + 3] for x in range(8) for y in range(12)])
    boxes = torch.cat((bricks, torch.tensor([[10.0, 37, 12, 40]])))
    kinds = torch.tensor([1] * len(bricks) + [0])
    for _ in range(20):
        _, classes, _, _, _ = made._sample(torch.zeros(0, 4), boxes, kinds)
        assert int((classes == 1).sum()) >= 1 and int((classes > 0).sum()) == SAMPLES // 2


def test_few_candidates_are_filled_up_with_boxes_that_do_not_count() -> None:
    made = task("faster-rcnn")
    sampled, classes, _, used, _ = made._sample(torch.zeros(0, 4), torch.zeros(0, 4), torch.zeros(0).long())
    assert sampled.shape == (SAMPLES, 4) and not used.any() and not classes.any()
    logits, offsets = torch.zeros(1, SAMPLES, 3), torch.zeros(1, SAMPLES, 4)
    loss = box_loss(logits, offsets, classes[None], torch.zeros_like(offsets), used[None])
    assert loss["loss"] == 0


@pytest.mark.parametrize("model", ["sliding-window", "rcnn", "fast-rcnn", "mask-rcnn"])
def test_pictures_in_which_there_is_nowhere_to_look(model: Model) -> None:
    made, labelled = task(model), vision_data.eight()
    blank = Split("blank", torch.full_like(labelled.images, 7), labelled.labels)
    loss = made.loss(blank, torch.arange(4))["loss"]
    loss.backward()
    assert loss.isfinite()
    made.network.eval()
    with torch.no_grad():
        found = made.predict(blank.images[:2])
    if model != "mask-rcnn":  # whose proposals are never none
        assert [len(one.boxes) for one in found] == [0, 0]


# ---- proposals


def test_the_recall_of_proposals_is_the_share_of_objects_that_they_overlap() -> None:
    made, split = task("rcnn"), vision_data.eight()
    first, total = split.boxes(0)[0][:1], sum(len(split.boxes(row)[0]) for row in range(8))
    made.search = lambda image: first if torch.equal(image, split.images[0]) else torch.zeros(0, 4)
    with torch.no_grad():
        assert made.evaluate(split, lambda done: None)["proposal_recall"] == pytest.approx(1 / total)


def pictures() -> st.SearchStrategy[np.ndarray]:
    return st.integers(0, 2**32 - 1).map(lambda seed: np.random.default_rng(seed).integers(0, 2, (3, 9, 7), np.uint8))


@settings(max_examples=60, deadline=None)
@given(pictures())
def test_regions_are_those_of_scipy(image: np.ndarray) -> None:
    image[1:] = image[0]  # two colours: large, winding regions
    expected = []
    for value in (0, 1):
        for rows, columns in ndimage.find_objects(ndimage.label(image[0] == value)[0]):
            expected.append((columns.start, rows.start, columns.stop, rows.stop))
    assert sorted(map(tuple, regions(image).tolist())) == sorted(expected)


def test_objects_are_proposed_and_a_row_of_bricks_is_cut() -> None:
    split = vision_data.eight()
    propose = ColorRegions(all_sides(split).max(0).values, cluster_shapes(split, 3), 16)
    for row in range(8):
        boxes, _ = split.boxes(row)
        assert (iou(boxes, propose(split.images[row])).amax(1) > 0.99).all()
    image = torch.zeros(3, 20, 40, dtype=torch.uint8)
    image[:, 3:6, 4:28] = 200  # four bricks of 6 x 3
    bricks = ColorRegions(torch.tensor([6.0, 3.0]), torch.tensor([[6.0, 3.0], [2.0, 1.0]]), 16)
    assert bricks(image).tolist() == [[x, 3, x + 6, 6] for x in (4, 10, 16, 22)]
    image[:, 3:6, 4:28] = 0
    image[:, 3:6, 4:27] = 200  # 23 pixels: no whole number of bricks
    assert len(bricks(image)) == 0
    assert cut_into_tiles(np.array([0, 0, 2, 2]), (1, 2)).tolist() == [[0, 0, 1, 2], [1, 0, 2, 2]]


def test_windows_cover_every_object_and_skip_what_is_of_one_colour() -> None:
    split = vision_data.eight()
    windows = Windows(cluster_shapes(split, 3), (vision_data.H, vision_data.W))
    for row in range(8):
        boxes, _ = split.boxes(row)
        found = windows(split.images[row])
        assert (iou(boxes, found).amax(1) > 0.4).all()
        assert len(found) < sum(len(all_) for all_ in windows.boxes)
    assert len(windows(torch.full((3, vision_data.H, vision_data.W), 7, dtype=torch.uint8))) == 0
    assert strides(4, 16) == (4, 2) and strides(1, 40) == (4, 1)
    lonely = torch.zeros(3, vision_data.H, vision_data.W, dtype=torch.uint8)
    lonely[:, 20, 10] = 255
    for x1, y1, x2, y2 in windows(lonely).tolist():  # the pixel is in the window or right beside it
        assert x1 - 1 <= 10 <= x2 and y1 - 1 <= 20 <= y2


# ---- masks


def test_a_mask_read_inside_its_box_is_pasted_back_where_it_was() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        x, y = int(rng.integers(0, 20)), int(rng.integers(0, 25))
        mask = torch.zeros(1, 40, 32, dtype=torch.bool)
        mask[0, y : y + 14, x : x + 7] = torch.from_numpy(rng.random((14, 7)) > 0.4)
        box = torch.tensor([[x, y, x + 7.0, y + 14.0]])
        read = mask_targets(mask, box, 14)
        assert set(read.unique().tolist()) <= {0.0, 1.0}
        assert torch.equal(paste(mask_targets(mask, box, 14)[..., :], box, (40, 32))[0], mask[0])


def test_nothing_is_pasted_outside_of_a_box() -> None:
    full = paste(torch.ones(1, 14, 14), torch.tensor([[2.0, 3, 6, 10]]), (20, 10))[0]
    expected = torch.zeros(20, 10, dtype=torch.bool)
    expected[3:10, 2:6] = True
    assert torch.equal(full, expected)
    assert paste(torch.zeros(0, 14, 14), torch.zeros(0, 4), (20, 10)).shape == (0, 20, 10)


def test_average_precision_of_masks_is_by_their_pixels() -> None:
    """Two masks of the same box: one that is right, one of which a third overlaps, counted at thresholds from 0.5."""
    true = torch.zeros(2, 20, 20, dtype=torch.bool)
    true[0, 2:6, 2:6] = True
    true[1, 10:14, 10:14] = True
    said = true.clone()
    said[1] = False
    said[1, 12:16, 10:14] = True  # 8 of 24 pixels
    boxes = torch.tensor([[2.0, 2, 6, 6], [10, 10, 14, 14]])
    found = [Detections(boxes, torch.tensor([0, 0]), torch.tensor([0.9, 0.8]))]
    truth = [(boxes, torch.tensor([0, 0]))]
    assert average_precision(found, truth, ("ball",), (20, 20))["ap50"] == pytest.approx(1.0)
    masks = ([run_lengths(said)], [run_lengths(true)])
    assert average_precision(found, truth, ("ball",), (20, 20), masks)["ap50"] == pytest.approx(51 / 101)
    masks = ([run_lengths(true)], [run_lengths(true)])
    assert average_precision(found, truth, ("ball",), (20, 20), masks)["ap"] == pytest.approx(1.0)


def test_settings_that_cannot_be_are_refused() -> None:
    for wrong in ({"proposals": 0}, {"crop": 2}, {"cells": 0}):
        with pytest.raises(ConfigError):
            DetectConfig(**wrong)  # type: ignore[arg-type]


# ---- in the loop


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
