"""A trained detector or segmenter as the eyes of an agent: pictures of a game in, boxes of its objects out.

    python -m agents.dqn --env Pong --observe detector:runs/RUN

`envs/ground_truth/observed_state.py` makes the numbers from the boxes that `observe = "objects"` has from the truth, in
the same order: an agent trained on the one can be played on the other.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import torch
from torch import Tensor

from envs.ground_truth.objects import Seen
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.runs.folder import RunFolder
from rl_gen_lab.training.load import load_task, weights_digest
from rl_gen_lab.vision.detection.one_stage import OneStageTask
from rl_gen_lab.vision.segmentation.task import SegmentationTask

FEWEST_PIXELS = 3  # of an object in a segmentation
TASKS = {"detector": "detect", "segment": "segment"}


class Watcher:
    """Eyes by a network. Counts what it has looked at, and the processor time that took: other work does not count."""

    def __init__(
        self, name: str, categories: tuple[str, ...], size: tuple[int, int], find: Callable[[Tensor], list[Seen]]
    ):
        """find: pictures (T, 3, H, W) uint8 -> what is in each; size: (H, W) that they must have."""
        self.name, self.categories, self.size = name, categories, size
        self._find = find
        self.pictures, self.seconds = 0, 0.0

    @torch.no_grad()
    def look(self, pictures: np.ndarray) -> list[Seen]:
        """What is in each picture, (T, H, W, 3) uint8. Raises: ConfigError for another size than was trained on."""
        if pictures.shape[1:3] != self.size:
            height, width = pictures.shape[1:3]
            wanted = f"{self.size[1]} x {self.size[0]}"
            raise ConfigError(f"{self.name} was trained on pictures of {wanted}, this world shows {width} x {height}")
        began = time.process_time()
        found = self._find(torch.from_numpy(np.ascontiguousarray(pictures.transpose(0, 3, 1, 2))))
        self.seconds += time.process_time() - began
        self.pictures += len(pictures)
        return found


def detector(source: str) -> Watcher:
    """The detector of a run folder. Raises: CheckpointError."""
    return _watcher("detector", source, weights_digest(Path(source)))


def segment(source: str) -> Watcher:
    """The segmenter of a run folder; every connected piece of a class is an object. Raises: CheckpointError."""
    return _watcher("segment", source, weights_digest(Path(source)))


@functools.lru_cache(maxsize=8)
def _watcher(kind: Literal["detector", "segment"], source: str, weights: str) -> Watcher:
    """One network for all copies of a world. weights: a digest of them, so that new ones are loaded anew."""
    about: dict[str, Any] = RunFolder.open(Path(source)).read_config()
    task = load_task(Path(source), TASKS[kind])
    look: Callable[[Any, Tensor], list[Seen]] = _boxes_of if kind == "detector" else _pieces_of
    name = f"{kind} {about['exp_name'].partition('_')[2]} {weights}"
    height, width = about["image_size"]
    return Watcher(name, tuple(about["categories"]), (height, width), functools.partial(look, task))


def _boxes_of(task: OneStageTask, pictures: Tensor) -> list[Seen]:
    found: list[Seen] = []
    for one in task.predict(pictures):
        sure = one.above(task.config.score)
        boxes: dict[str, list[tuple[float, float, float, float]]] = {}
        for (x1, y1, x2, y2), kind in zip(sure.boxes.tolist(), sure.classes.tolist(), strict=True):
            boxes.setdefault(task.categories[kind], []).append((x1, y1, x2 - x1, y2 - y1))
        found.append(boxes)
    return found


def _pieces_of(task: SegmentationTask, pictures: Tensor) -> list[Seen]:
    return [pieces(classes.numpy(), task.categories) for classes in task.predict(pictures)]


def pieces(classes: np.ndarray, categories: tuple[str, ...]) -> Seen:
    """Boxes of the connected pieces of each class, the largest first. classes: (H, W) int64, 0 is background."""
    found: dict[str, list[tuple[float, float, float, float]]] = {}
    for kind, name in enumerate(categories, 1):
        _, _, statistics, _ = cv2.connectedComponentsWithStats((classes == kind).astype(np.uint8))
        large = [row for row in statistics[1:].tolist() if row[cv2.CC_STAT_AREA] >= FEWEST_PIXELS]
        large.sort(key=lambda row: -row[cv2.CC_STAT_AREA])
        found[name] = [(x, y, w, h) for x, y, w, h, _ in large]
    return found
