"""Short supervised runs on the folder of vision_data, and what they leave behind."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import vision_data
from torch import Tensor

from rl_gen_lab.backbones.config import BackboneConfig
from rl_gen_lab.cli.settings import WandbConfig
from rl_gen_lab.runs.checkpoints import load_state
from rl_gen_lab.runs.folder import RunFolder
from rl_gen_lab.training.config import Config
from rl_gen_lab.vision.segmentation.config import SegmentConfig

UNET = SegmentConfig(choices=BackboneConfig(width=4, branches=4, stages=2, depth=1, norm="batch", dropout=0.1))


def config(path: Path, **changes: Any) -> Config:
    base = Config(
        data=vision_data.folder(),
        epochs=3,
        runs_dir=path,
        batch_size=4,
        log_every_updates=1,
        wandb=WandbConfig("disabled"),
    )
    return replace(base, **({} if "task" in changes else {"segment": UNET}) | changes)


def only_run(path: Path) -> RunFolder:
    (found,) = path.iterdir()
    return RunFolder.open(found)


def final(run: RunFolder) -> dict[str, Tensor]:
    return load_state(run.checkpoints / "latest")["network"]  # type: ignore[no-any-return]
