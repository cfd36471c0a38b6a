"""Positional encoding: what looks the same is told apart by its position."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import vision_data
from torch import nn

from rl_gen_lab.backbones.config import BackboneConfig
from rl_gen_lab.vision.detection.config import DetectConfig
from rl_gen_lab.vision.detection.models import make_detector
from rl_gen_lab.vision.detection.one_stage import OneStageNetwork


@pytest.mark.parametrize("model", ["ssd", "yolo", "faster-rcnn", "mask-rcnn"])
def test_a_detector_that_knows_positions_tells_apart_what_looks_the_same(model: Any) -> None:
    still = torch.full((1, 3, 40, 32), 100, dtype=torch.uint8)
    spread = []
    for octaves in (0, 3):
        config = DetectConfig(
            model, choices=BackboneConfig(width=4, stages=2, depth=1, norm="batch"), positions=octaves
        )
        torch.manual_seed(0)
        network = make_detector(config, vision_data.dataset(), torch.device("cpu")).network.eval()
        network.requires_grad_(False)
        head = network.head if isinstance(network, OneStageNetwork) else network.proposer
        nn.init.normal_(head.weight)
        features = network.backbone.maps(still) if isinstance(network, OneStageNetwork) else network.features(still)
        seen = head(network.positions(features[-1])) if isinstance(network, OneStageNetwork) else head(features[-1])
        middle = seen[:, :, 3:-3, 3:-3]  # borders are seen to be borders
        spread.append(float((middle - middle[:, :, :1, :1]).abs().amax()))
        assert "positions.waves" not in network.state_dict(), "runs of before can be loaded"
    assert spread[1] > 10 * spread[0]  # what is left without positions comes from the borders
