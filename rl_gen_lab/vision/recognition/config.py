"""Settings of classification and of localization."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from rl_gen_lab.backbones.config import BackboneConfig
from rl_gen_lab.cli.settings import NotNegative, Ranged, Share


@dataclass(frozen=True)
class ClassifyConfig(Ranged):
    """Classification: the categories that an image shows, none, one or several."""

    # Pooling of the last map into one vector; a ball is at one position of two thousand, which an average hardly shows.
    model: Literal["max", "average"] = "max"
    # Network under the model, such as resnet, densenet, impala: one of rl_gen_lab/backbones.
    backbone: str = "resnet"
    choices: BackboneConfig = field(default_factory=lambda: BackboneConfig(width=16, stages=2, depth=2, norm="batch"))
    # Distance of the targets in the loss from 1 and 0, both together.
    label_smoothing: Share = 0.0


@dataclass(frozen=True)
class LocalizeConfig(Ranged):
    """Localization: the categories that an image shows, and the box of one object."""

    # As in `classify`.
    model: Literal["max", "average"] = "max"
    # Category of the object whose box is learned; of several in an image, the first annotation.
    object: str = "ball"
    # Network under the model, such as resnet, densenet, impala: one of rl_gen_lab/backbones.
    backbone: str = "resnet"
    choices: BackboneConfig = field(default_factory=lambda: BackboneConfig(width=16, stages=2, depth=2, norm="batch"))
    # Weight of the box beside the classes in the loss.
    box_weight: NotNegative = 1.0
    # As in `classify`.
    label_smoothing: Share = 0.0
