"""Settings of semantic segmentation."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

from annotated_types import Interval

from rl_gen_lab.backbones.config import BackboneConfig
from rl_gen_lab.cli.settings import Ranged, Share, Size


@dataclass(frozen=True)
class SegmentConfig(Ranged):
    """Semantic segmentation."""

    USED_BY: ClassVar = {
        "backbone": ("unet",),
        "choices": ("unet",),
        "width": ("patch", "fcn"),
        "upsampling": ("fcn",),
        "levels": ("fcn",),
        "patches": ("patch",),
    }

    # patch: a classifier of small patches; fcn: down- and upsampling; unet: a U-Net on a backbone.
    model: Literal["patch", "fcn", "unet"] = "unet"
    # Backbone of the U-Net; its first stride and its stages set the finest and the coarsest map.
    backbone: str = "resnet"
    choices: BackboneConfig = field(
        default_factory=lambda: BackboneConfig(width=8, stages=4, depth=1, first_stride=1, norm="batch")
    )
    # Channels of the first layer of patch and fcn.
    width: Size = 16
    # Upsampling of the fcn: transposed convolutions, or unpooling to the positions of the maxima.
    upsampling: Literal["transposed", "unpool"] = "transposed"
    # Halvings of the fcn.
    levels: Annotated[int, Interval(ge=1, le=32)] = 3
    # Patches of an image in an update: a third on objects, a third within a few pixels of them, a third anywhere.
    patches: Annotated[int, Interval(ge=3, le=1_000_000)] = 256
    # Probability mass of the label that is spread over all classes in the loss.
    label_smoothing: Share = 0.0
