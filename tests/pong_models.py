"""Small vision models of a few Pong frames, barely trained: enough to be loaded and looked through."""

from __future__ import annotations

import functools
import tempfile
from dataclasses import replace
from pathlib import Path

from envs import scenes
from rl_gen_lab.backbones.config import BackboneConfig
from rl_gen_lab.cli.settings import WandbConfig
from rl_gen_lab.training import run as training_run
from rl_gen_lab.training.config import Config as TrainConfig
from rl_gen_lab.vision.captioning.config import CaptionConfig
from rl_gen_lab.vision.detection.config import DetectConfig
from rl_gen_lab.vision.segmentation.config import SegmentConfig

SMALL = BackboneConfig(width=4, stages=2, depth=1, norm="batch")


@functools.cache
def folder() -> Path:
    """20 labeled frames: 16 of 8 episodes for train, 2 for val, 2 for test."""
    return scenes.write(scenes.Config("Pong", frames=20, every=8, out=Path(tempfile.mkdtemp()) / "pong"))


@functools.cache
def run(task: str) -> Path:
    """The run folder of a model trained for one epoch: "detect", "segment" or "caption"."""
    settings = {
        "detect": DetectConfig(choices=SMALL, shapes=3, score=0.1),
        "segment": SegmentConfig("fcn", width=4, levels=1),
        "caption": CaptionConfig(choices=replace(SMALL, stages=3), units=16),
    }
    config = TrainConfig(
        task=task,  # type: ignore[arg-type]
        data=folder(),
        epochs=1,
        batch_size=4,
        runs_dir=Path(tempfile.mkdtemp()),
        wandb=WandbConfig("disabled"),
        **{task: settings[task]},  # type: ignore[arg-type]
    )
    training_run.train(config)
    (found,) = config.runs_dir.iterdir()
    return found
