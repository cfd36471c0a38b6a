"""The box that the positions vote for."""

from __future__ import annotations

from dataclasses import replace

import torch
import vision_data

from rl_gen_lab.backbones.config import BackboneConfig
from rl_gen_lab.vision.recognition.config import ClassifyConfig, LocalizeConfig
from rl_gen_lab.vision.recognition.task import RecognitionTask

CPU = torch.device("cpu")


SMALL = BackboneConfig(width=16, stages=2, depth=1, norm="batch")


def task(config: ClassifyConfig | LocalizeConfig) -> RecognitionTask:
    torch.manual_seed(0)
    return RecognitionTask(replace(config, choices=SMALL), vision_data.dataset(), CPU)


def test_a_vote_for_one_position_is_its_box() -> None:
    """Stride 4: the position in column 3, row 1 has its middle at (14, 6)."""
    made = task(LocalizeConfig())
    votes = made.network.votes
    assert votes is not None
    last = made.network.backbone.feature_maps[-1]
    assert last.stride == 4
    raw = torch.zeros(1, 5, last.height, last.width)
    raw[0, 0, 1, 3] = 50.0
    raw[0, 1, 1, 3], raw[0, 2, 1, 3] = 0.25, -0.5  # one pixel right, two up
    raw[0, 3, 1, 3], raw[0, 4, 1, 3] = torch.tensor(0.5).log(), torch.tensor(2.0).log()  # 2 wide, 8 high
    votes.forward = lambda maps: raw  # type: ignore[method-assign, assignment]
    _, _, box = made.network(vision_data.eight().images[:1])
    torch.testing.assert_close(box, torch.tensor([[14.0, 0.0, 16.0, 8.0]]))
