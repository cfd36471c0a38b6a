"""The tasks by name, and figures of their predictions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import cast

import torch

from rl_gen_lab.data.dataset import Dataset, Split
from rl_gen_lab.generators import pictures
from rl_gen_lab.generators.task import GenerationTask
from rl_gen_lab.runs.folder import RunFolder
from rl_gen_lab.training.config import Config
from rl_gen_lab.training.task import Task
from rl_gen_lab.vision import visualize
from rl_gen_lab.vision.captioning import attention_map
from rl_gen_lab.vision.captioning.task import CaptioningTask
from rl_gen_lab.vision.detection.models import make_detector
from rl_gen_lab.vision.recognition.task import RecognitionTask
from rl_gen_lab.vision.segmentation.task import SegmentationTask

TASKS: dict[str, Callable[[Config, Dataset, torch.device], Task]] = {
    "caption": lambda config, dataset, device: CaptioningTask(config.caption, dataset, device),
    "classify": lambda config, dataset, device: RecognitionTask(config.classify, dataset, device),
    "detect": lambda config, dataset, device: make_detector(config.detect, dataset, device),
    "generate": lambda config, dataset, device: GenerationTask(config.generate, dataset, device),
    "localize": lambda config, dataset, device: RecognitionTask(config.localize, dataset, device),
    "segment": lambda config, dataset, device: SegmentationTask(config.segment, dataset, device),
}


def draw_predictions(task: Task, split: Split, count: int, run: RunFolder) -> list[tuple[Path, str]]:
    """Draw the predictions for `count` images of a split; return each file with the generated sentence, if any."""
    chosen, folder = split.evenly_spaced(count), run.path / "pictures"
    if isinstance(task, CaptioningTask):
        return attention_map.write(task, split, chosen, folder)
    if isinstance(task, GenerationTask):
        return [(pictures.write_reconstructions(task, split, chosen, folder / f"reconstructions_{split.name}.png"), "")]
    return [(file, "") for file in visualize.write(cast(visualize.DrawableTask, task), split, chosen, folder)]
