"""Trained models as detectors: the same predictions as after training, boxes of segmentations, identity by weights."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pong_models
import pytest
import torch

from agents.perception import detectors
from rl_gen_lab import pack
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.cli.values import from_dict
from rl_gen_lab.data import dataset as data
from rl_gen_lab.runs.checkpoints import load_weights, save_weights
from rl_gen_lab.runs.folder import RunFolder
from rl_gen_lab.training.config import Config as TrainConfig
from rl_gen_lab.training.load import load_task, weights_digest
from rl_gen_lab.training.task import Task
from rl_gen_lab.training.tasks import TASKS
from rl_gen_lab.vision.detection.one_stage import OneStageTask
from rl_gen_lab.vision.segmentation.task import SegmentationTask

CPU = torch.device("cpu")


def as_trained(task: str) -> tuple[Task, data.Dataset]:
    """The model built from its data, as training did, with the weights of its file."""
    run, dataset = RunFolder.open(pong_models.run(task)), data.load(pong_models.folder())
    config = from_dict(TrainConfig, run.read_config()["config"])
    built = TASKS[task](config, dataset, CPU)
    built.network.load_state_dict(load_weights(run.checkpoints / "best.safetensors")[0])
    built.network.eval()
    return built, dataset


def test_a_saved_detector_predicts_as_after_its_training() -> None:
    trained, dataset = as_trained("detect")
    images = dataset.splits["test"].images
    saved = load_task(pong_models.run("detect"), "detect")
    assert isinstance(trained, OneStageTask) and isinstance(saved, OneStageTask)
    with torch.no_grad():
        expected, predicted = trained.predict(images), saved.predict(images)
    assert sum(len(one.boxes) for one in expected) > 0
    for one, other in zip(expected, predicted, strict=True):
        torch.testing.assert_close(one.boxes, other.boxes)
        assert torch.equal(one.classes, other.classes)
    detector = detectors.load_detector("detector", str(pong_models.run("detect")))
    (detections, _) = detector.detect(images.permute(0, 2, 3, 1).numpy())
    sure = expected[0].above(0.1)
    for i, name in enumerate(dataset.categories):
        boxes = sure.boxes[sure.classes == i]
        sides = torch.cat((boxes[:, :2], boxes[:, 2:] - boxes[:, :2]), 1)
        torch.testing.assert_close(torch.tensor(detections.get(name, [])).reshape(-1, 4), sides)
    assert detector.images >= 2 and detector.seconds > 0


def test_a_model_is_known_by_its_weights_not_by_the_bytes_of_its_file(tmp_path: Path) -> None:
    run = shutil.copytree(pong_models.run("detect"), tmp_path / "run")
    file, known = run / "checkpoints" / "best.safetensors", weights_digest(run)
    weights, metadata = load_weights(file)
    save_weights(file, weights, metadata | {"note": "saved anew"})
    assert weights_digest(run) == known
    name = next(iter(weights))
    save_weights(file, weights | {name: weights[name] + 1}, metadata)
    assert weights_digest(run) != known


def test_a_saved_segmenter_predicts_as_after_its_training() -> None:
    trained, dataset = as_trained("segment")
    images = dataset.splits["test"].images
    saved = load_task(pong_models.run("segment"), "segment")
    assert isinstance(trained, SegmentationTask) and isinstance(saved, SegmentationTask)
    with torch.no_grad():
        assert torch.equal(trained.predict(images), saved.predict(images))


def test_images_of_another_size_are_refused() -> None:
    detector = detectors.load_detector("detector", str(pong_models.run("detect")))
    with pytest.raises(ConfigError, match="images of 160 x 210, this environment has 64 x 64"):
        detector.detect(np.zeros((1, 64, 64, 3), np.uint8))


def test_networks_are_loaded_once_and_again_when_their_weights_change(tmp_path: Path) -> None:
    run = shutil.copytree(pong_models.run("detect"), tmp_path / "run")
    first = detectors.load_detector("detector", str(run))
    assert detectors.load_detector("detector", str(run)) is first
    file = run / "checkpoints" / "best.safetensors"
    weights, metadata = load_weights(file)
    name = next(iter(weights))
    save_weights(file, weights | {name: weights[name] + 1}, metadata)
    changed = detectors.load_detector("detector", str(run))
    assert changed is not first and changed.name != first.name


def test_connected_pixels_of_a_class_are_one_object() -> None:
    classes = np.zeros((20, 30), np.int64)
    classes[2:6, 3:5] = 1
    classes[10:18, 20:24] = 2
    classes[10:14, 5:9] = 2
    classes[0, 29] = 1  # a single pixel is nothing
    assert detectors.component_boxes(classes, ("ball", "paddle")) == {
        "ball": [(3, 2, 2, 4)],
        "paddle": [(20, 10, 4, 8), (5, 10, 4, 4)],
    }


@pytest.mark.parametrize(("model", "task"), [("detector", "detect"), ("segment", "segment")])
def test_a_packed_model_detects_as_its_run(model: str, task: str, tmp_path: Path) -> None:
    file = tmp_path / "model.rlz"
    pack.main([str(pong_models.run(task)), "--out", str(file)])
    packed, run = (detectors.load_detector(model, str(path)) for path in (file, pong_models.run(task)))
    images = data.load(pong_models.folder()).splits["train"].images[:3].permute(0, 2, 3, 1).numpy()
    assert packed.detect(images) == run.detect(images)
    assert packed.name.split()[:2] == run.name.split()[:2] and len(packed.name.split()) == 3
