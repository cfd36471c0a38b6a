"""The tasks by name, and figures of their predictions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import torch

from rl_gen_lab.classic.detector import SlidingWindowTask
from rl_gen_lab.classic.interfaces import Measures
from rl_gen_lab.classic.task import ClassicTask
from rl_gen_lab.data import dataset
from rl_gen_lab.data.dataset import Dataset
from rl_gen_lab.generators import pictures
from rl_gen_lab.generators.task import GenerationTask
from rl_gen_lab.generators.world_models import recording
from rl_gen_lab.generators.world_models.latent_task import LatentDreamTask
from rl_gen_lab.generators.world_models.pixel_task import PixelDreamTask
from rl_gen_lab.generators.world_models.recording import Recording
from rl_gen_lab.runs.files import without_links
from rl_gen_lab.runs.folder import RunFolder
from rl_gen_lab.training.config import Config
from rl_gen_lab.training.task import Drawn, Fitted, Task
from rl_gen_lab.vision import visualize
from rl_gen_lab.vision.captioning import attention_map
from rl_gen_lab.vision.captioning.task import CaptioningTask
from rl_gen_lab.vision.detection.common import evaluate_detector, select_detections
from rl_gen_lab.vision.detection.models import make_detector
from rl_gen_lab.vision.recognition.task import RecognitionTask, presence_metrics
from rl_gen_lab.vision.segmentation.task import SegmentationTask

MEASURES = Measures(presence_metrics, select_detections, evaluate_detector)  # of both heads, so that they compare
TASKS: dict[str, Callable[[Config, Dataset, torch.device], Task]] = {
    "caption": lambda config, data, device: CaptioningTask(config.caption, data, device),
    "classic": lambda config, data, device: _classic(config, data, device),
    "classify": lambda config, data, device: RecognitionTask(config.classify, data, device),
    "detect": lambda config, data, device: make_detector(config.detect, data, device),
    "generate": lambda config, data, device: GenerationTask(config.generate, data, device),
    "localize": lambda config, data, device: RecognitionTask(config.localize, data, device),
    "segment": lambda config, data, device: SegmentationTask(config.segment, data, device),
}


def load_data(config: Config) -> Dataset | Recording:
    """Read the folder of a training. Raises: DataError."""
    assert config.data is not None
    if config.task == "dream":
        return recording.load(config.data, config.dream.context, config.dream.steps)
    return dataset.load(config.data)


def make_task(config: Config, data: Dataset | Recording, device: torch.device) -> Task:
    """Make the network of a task and what belongs to it. Raises: UserError."""
    if isinstance(data, Recording):
        if config.dream.model == "pixels":
            return PixelDreamTask(config.dream, data, device)
        return _latent_dream(config, data, device)
    task = TASKS[config.task](config, data, device)
    if isinstance(task, Fitted):
        task.fit()
    return task


def _classic(config: Config, data: Dataset, device: torch.device) -> Task:
    """Make the task of a classic classifier or detector. Raises: UserError."""
    made = SlidingWindowTask if config.classic.model == "sliding-window" else ClassicTask
    return made(config.classic, data, device, MEASURES)


def _latent_dream(config: Config, data: Recording, device: torch.device) -> LatentDreamTask:
    """Make the task of a world in the codes of a generator. Raises: CheckpointError."""
    from rl_gen_lab.training.load import load_task  # which reads this file

    path = config.dream.generator
    assert path is not None
    generator = cast(GenerationTask, load_task(path, "generate"))
    return LatentDreamTask(config.dream, data, generator, RunFolder.open(path).read_config(), device)


def draw_predictions(task: Task, split: Any, count: int, run: RunFolder) -> list[tuple[Path, str]]:
    """Draw the predictions for `count` images of a split; return each file with the generated sentence, if any."""
    chosen, folder = split.evenly_spaced(count), without_links(run.path / "pictures")
    if isinstance(task, CaptioningTask):
        return attention_map.write(task, split, chosen, folder)
    if isinstance(task, Drawn):
        return [(file, "") for file in task.draw_figures(split, chosen, folder)]
    if isinstance(task, PixelDreamTask | LatentDreamTask):
        return [(file, "") for file in task.draw_progress(split, folder)]
    if isinstance(task, GenerationTask):
        return [(pictures.write_reconstructions(task, split, chosen, folder / f"reconstructions_{split.name}.png"), "")]
    return [(file, "") for file in visualize.write(cast(visualize.DrawableTask, task), split, chosen, folder)]
