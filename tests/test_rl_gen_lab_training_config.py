"""Settings of a supervised run that are refused."""

from __future__ import annotations

import pytest

from rl_gen_lab.backbones.config import BackboneConfig
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.compute.optimizers import OptimizerConfig
from rl_gen_lab.training.config import Config
from rl_gen_lab.vision.detection.config import DetectConfig
from rl_gen_lab.vision.segmentation.config import SegmentConfig

UNET = SegmentConfig(choices=BackboneConfig(width=4, branches=4, stages=2, depth=1, norm="batch", dropout=0.1))


def test_settings_of_another_task_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"--segment\.\* are settings of segment, but the task is detect"):
        Config(task="detect", segment=UNET)


def test_impossible_settings_are_refused() -> None:
    for wrong in (
        lambda: OptimizerConfig(learning_rate=0),
        lambda: OptimizerConfig(name="adam", nesterov=True),
        lambda: OptimizerConfig(momentum=-1),
        lambda: OptimizerConfig(weight_decay=-1),
        lambda: OptimizerConfig(max_grad_norm=-1),
        lambda: DetectConfig(nms_iou=7),
        lambda: DetectConfig(score=-0.1),
        lambda: Config(batch_size=0),
        lambda: SegmentConfig(patches=1),
    ):
        with pytest.raises(ConfigError):
            wrong()
