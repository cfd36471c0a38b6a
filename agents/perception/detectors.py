"""A trained detector or segmenter as the observation of an agent: images of a game in, boxes of its objects out.

    python -m agents.dqn --env Pong --observe detector:runs/RUN

`envs/ground_truth/observed_state.py` turns the boxes into the numbers that `observe = "objects"` reads from the state,
in the same order: an agent that was trained on one of the two can be played on the other.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from envs.ground_truth.objects import Detections
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.cli.shell import typed_path
from rl_gen_lab.training.load import load_task, read_model, weights_digest
from rl_gen_lab.vision.detection.one_stage import OneStageTask
from rl_gen_lab.vision.segmentation.task import SegmentationTask

MIN_PIXELS = 3  # of an object in a segmentation


class NetworkDetector:
    """An object detector by a network; counts its images and their processor time, without that of other programs."""

    def __init__(
        self,
        name: str,
        categories: tuple[str, ...],
        size: tuple[int, int],
        predict: Callable[[Tensor], list[Detections]],
    ):
        """predict: images (T, 3, H, W) uint8 -> detections of each; size: required (H, W)."""
        self.name, self.categories, self.size = name, categories, size
        self._predict = predict
        self.images, self.seconds = 0, 0.0

    @torch.no_grad()
    def detect(self, images: np.ndarray) -> list[Detections]:
        """Return the detections in images (T, H, W, 3) uint8. Raises: ConfigError for images of another size."""
        if images.shape[1:3] != self.size:
            height, width = images.shape[1:3]
            trained = f"{self.size[1]} x {self.size[0]}"
            raise ConfigError(
                f"{self.name} was trained on images of {trained}, this environment has {width} x {height}"
            )
        began = time.process_time()
        detections = self._predict(torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2))))
        self.seconds += time.process_time() - began
        self.images += len(images)
        return detections


def load_detector(model: str, source: str) -> NetworkDetector:
    """Load the model of a run folder: a "detector", or a "segment", whose connected components are the objects.

    Raises: CheckpointError, ConfigError.
    """
    path = typed_path(source)
    return _load(model, str(path), weights_digest(path))


@functools.lru_cache(maxsize=8)
def _load(model: str, source: str, weights: str) -> NetworkDetector:
    """Load a network once for all copies of an environment; weights: their digest, so that changed ones are loaded."""
    task_name, predict = MODELS[model]
    task = load_task(Path(source), task_name)
    about, _ = read_model(Path(source))
    name = f"{model} {about['exp_name'].partition('_')[2]} {weights}"
    height, width = about["image_size"]
    return NetworkDetector(name, tuple(about["categories"]), (height, width), functools.partial(predict, task))


def _detected_boxes(task: OneStageTask, images: Tensor) -> list[Detections]:
    detections: list[Detections] = []
    for prediction in task.predict(images):
        confident = prediction.above(task.config.score)
        boxes: dict[str, list[tuple[float, float, float, float]]] = {}
        for (x1, y1, x2, y2), category in zip(confident.boxes.tolist(), confident.classes.tolist(), strict=True):
            boxes.setdefault(task.categories[category], []).append((x1, y1, x2 - x1, y2 - y1))
        detections.append(boxes)
    return detections


def _segmented_boxes(task: SegmentationTask, images: Tensor) -> list[Detections]:
    return [component_boxes(classes.numpy(), task.categories) for classes in task.predict(images)]


# The task of a run of rl_gen_lab.train, and its predictions as boxes, by the name of the model in `world.observe`.
MODELS: dict[str, tuple[str, Callable[[Any, Tensor], list[Detections]]]] = {
    "detector": ("detect", _detected_boxes),
    "segment": ("segment", _segmented_boxes),
}


def component_boxes(classes: np.ndarray, categories: tuple[str, ...]) -> Detections:
    """Return boxes of the connected components of each class, largest first. classes: (H, W) int64, 0 is background."""
    boxes: dict[str, list[tuple[float, float, float, float]]] = {}
    for index, name in enumerate(categories, 1):
        _, _, statistics, _ = cv2.connectedComponentsWithStats((classes == index).astype(np.uint8))
        large = [row for row in statistics[1:].tolist() if row[cv2.CC_STAT_AREA] >= MIN_PIXELS]
        large.sort(key=lambda row: -row[cv2.CC_STAT_AREA])
        boxes[name] = [(x, y, w, h) for x, y, w, h, _ in large]
    return boxes
