"""The ladder of detectors, in the order in which they were invented; each is trained and measured in the same way.

sliding-window   a small network judges every window of a few shapes (Rowley et al. 1998)
rcnn             it judges proposals only, and moves them (Girshick et al. 2014)
fast-rcnn        one pass over the image; proposals read its feature maps (Girshick 2015)
faster-rcnn      proposals are learned as well (Ren et al. 2015)
mask-rcnn        and each object's mask (He et al. 2017)
ssd              no proposals: anchors of several shapes at each position say all (Liu et al. 2016)
yolo             one guess for each cell (Redmon et al. 2016)
"""

from __future__ import annotations

import torch

from rl_gen_lab.data.dataset import Dataset
from rl_gen_lab.vision.detection.common import DetectConfig
from rl_gen_lab.vision.detection.one_stage import Detect
from rl_gen_lab.vision.detection.two_stage import TwoStage


def make_detector(config: DetectConfig, dataset: Dataset, device: torch.device) -> Detect | TwoStage:
    """The task of a configuration. Raises: ConfigError, DataError."""
    kind = Detect if config.model in ("ssd", "yolo") else TwoStage
    return kind(config, dataset, device)
