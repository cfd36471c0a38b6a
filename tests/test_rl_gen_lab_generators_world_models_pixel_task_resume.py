"""Worlds resume exactly: windows, noise, own frames and drawn codes go on where they were."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any, cast

import dot_world
import latent_runs
import pytest
import torch
import vision_runs
from torch import Tensor
from transition_folders import pong_transitions

from rl_gen_lab import train
from rl_gen_lab.generators.world_models.config import DreamConfig
from rl_gen_lab.generators.world_models.latent_task import LatentDreamTask
from rl_gen_lab.generators.world_models.pixel_task import PixelDreamTask
from rl_gen_lab.generators.world_models.sequences import SequenceSplit
from rl_gen_lab.training import run as training_run

PIXELS = DreamConfig(steps=8, width=4, memory=8, context=2, codes=2, code_values=4, plain_updates=1, noise=0.01)


@pytest.mark.parametrize("model", ["pixels", "latent"])
def test_a_world_that_was_stopped_ends_as_one_that_never_was(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, dream, task = dot_world.folder(), PIXELS, cast(Any, PixelDreamTask)
    if model == "latent":
        generator = latent_runs.generator_run("vq-vae").path
        dream = DreamConfig(model="latent", generator=generator, steps=6, memory=8, noise=0.1)
        data, task = pong_transitions(), LatentDreamTask
    words: dict[str, Any] = {"task": "dream", "dream": dream, "data": data, "batch_size": 8, "epochs": 2}
    training_run.train(vision_runs.config(tmp_path / "whole", **words))
    real, count = task.loss, [0]

    def loss(self: Any, split: SequenceSplit, indices: Tensor) -> dict[str, Tensor]:
        count[0] += 1
        if count[0] == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return real(self, split, indices)

    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(task, "loss", loss)
        training_run.train(vision_runs.config(tmp_path / "stopped", **words))
    run, whole = vision_runs.only_run(tmp_path / "stopped"), vision_runs.only_run(tmp_path / "whole")
    torch.manual_seed(123)  # whatever else the process did since
    train.main(["--resume", str(run.path)])
    ended, expected = vision_runs.final(run), vision_runs.final(whole)
    assert ended.keys() == expected.keys() and all(torch.equal(ended[name], expected[name]) for name in ended)
    goal = whole.read_result()["goal"]
    assert run.read_result()["test"][goal] == whole.read_result()["test"][goal]
