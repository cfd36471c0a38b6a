"""The detectors in the order of their invention; all are trained and measured in the same way.

sliding-window   a small network classifies every window of a few shapes (Rowley et al. 1998)
rcnn             it classifies proposals only, and moves them (Girshick et al. 2014)
fast-rcnn        one pass over the image; proposals read its feature maps (Girshick 2015)
faster-rcnn      learned proposals (Ren et al. 2015)
mask-rcnn        a mask for each object (He et al. 2017)
ssd              no proposals: anchors of several shapes at each position (Liu et al. 2016)
yolo             one box for each cell (Redmon et al. 2016)
"""

from __future__ import annotations

import torch

from rl_gen_lab.data.dataset import Dataset
from rl_gen_lab.vision.detection.config import DetectConfig
from rl_gen_lab.vision.detection.one_stage import OneStageTask
from rl_gen_lab.vision.detection.two_stage import TwoStageTask


def make_detector(config: DetectConfig, dataset: Dataset, device: torch.device) -> OneStageTask | TwoStageTask:
    """Make the configured task. Raises: ConfigError, DataError."""
    task = OneStageTask if config.model in ("ssd", "yolo") else TwoStageTask
    return task(config, dataset, device)
