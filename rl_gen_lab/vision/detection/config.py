"""Settings of detection."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Annotated, ClassVar, Literal

from annotated_types import Interval

from rl_gen_lab.backbones.config import BackboneConfig
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.cli.settings import Ranged, Share
from rl_gen_lab.cli.unused import uses

Cells = Annotated[int, Interval(ge=1, le=64)]
Boxes = Annotated[int, Interval(ge=1, le=2_000)]  # of an image: time and memory grow with their square
Model = Literal["sliding-window", "rcnn", "fast-rcnn", "faster-rcnn", "mask-rcnn", "ssd", "yolo"]
# Models whose second stage reads proposals from a backbone's maps; models that have a backbone.
ON_MAPS = ("fast-rcnn", "faster-rcnn", "mask-rcnn")
WITH_BACKBONE = (*ON_MAPS, "ssd", "yolo")


@dataclass(frozen=True)
class DetectConfig(Ranged):
    """Object detection."""

    USED_BY: ClassVar = {
        "backbone": WITH_BACKBONE,
        **{f"choices.{own.name}": WITH_BACKBONE for own in fields(BackboneConfig) if own.name != "width"},
        "positions": WITH_BACKBONE,
        "crop": ("sliding-window", "rcnn"),
        "proposals": ("rcnn", *ON_MAPS),
        "cells": ON_MAPS,
        "mask_cells": ("mask-rcnn",),
        "high_iou": ("rcnn", *ON_MAPS, "ssd"),
        "low_iou": ("rcnn", *ON_MAPS, "ssd"),
    }

    # The models are described in rl_gen_lab/vision/detection/models.py.
    model: Model = "ssd"
    # Objects are 2 to 20 pixels: the backbone's coarsest map should have a stride of at most 4.
    backbone: str = "resnet"
    choices: BackboneConfig = field(default_factory=lambda: BackboneConfig(width=16, stages=2, depth=2, norm="batch"))
    # Octaves of the positional encoding (0: none; not for crops). For objects that touch others of their category,
    # such as bricks: only their position says where one ends.
    positions: Annotated[int, Interval(ge=0, le=32)] = 0
    # Shapes of windows and anchors: clusters of the boxes of the training set (yolo has one only).
    shapes: Annotated[int, Interval(ge=1, le=1_000)] = 6
    # Boxes of an image that a second stage classifies, at most: more than there are objects, so 160 for Breakout with
    # 110 (sliding-window classifies every window).
    proposals: Boxes = 64
    # Width and height [px] to which windows (sliding-window) and proposals (rcnn) are resized.
    crop: Annotated[int, Interval(ge=4, le=512)] = 16
    # Cells a side of the grid on which the feature map is read inside a proposal, for its class and its mask.
    cells: Cells = 4
    mask_cells: Cells = 7
    # IoU with a box from which an anchor is matched with it, and below which it is background.
    high_iou: Share = 0.5
    low_iou: Share = 0.3
    # Non-maximum suppression: boxes of a class with a larger IoU are one object (windows: larger than 0.1, because
    # those that show the same small object may overlap by little more). Sprites touch but hardly ever overlap; a box
    # between two touching bricks overlaps each by a third.
    nms_iou: Share = 0.3
    # Lowest score of a reported detection, and of one on the precision-recall curve.
    score: Share = 0.5
    least_score: Share = 0.02
    # Objects of an image, at most.
    most: Boxes = 200
    # Probability mass of the label that is spread over all classes in the loss.
    label_smoothing: Share = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if uses(self, "low_iou") and self.low_iou > self.high_iou:
            raise ConfigError(f"low_iou {self.low_iou} must not be above high_iou {self.high_iou}")
