"""Small generators of the pictures of `vision_data`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
import vision_data

from rl_gen_lab.backbones.config import BackboneConfig
from rl_gen_lab.generators.config import GenerateConfig
from rl_gen_lab.generators.task import GenerationTask

CPU = torch.device("cpu")
SMALL = BackboneConfig(width=8, stages=4, depth=1, first_stride=4, norm="group")
TINY = GenerateConfig(choices=SMALL, width=32, latents=8, beta_updates=100, levels=(4, 3, 3), components=4)


def task_of(**settings: Any) -> GenerationTask:
    """An untrained generator, always with the same first weights."""
    torch.manual_seed(0)
    return GenerationTask(replace(TINY, **settings), vision_data.dataset(), CPU)
