"""Generators resume exactly: noise, schedules, codebooks and counts of tokens go on where they were."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import generator_models
import pytest
import torch
import vision_data
import vision_runs
from torch import Tensor

from rl_gen_lab import train
from rl_gen_lab.data.dataset import Split
from rl_gen_lab.generators.task import GenerationTask
from rl_gen_lab.training import run as training_run


@pytest.mark.parametrize(
    "settings",
    [
        {"model": "vae", "weighting": "rare", "weight_after_updates": 5},
        {"model": "vq-vae", "quantizer": "vq", "codes": 8},
    ],
    ids=["vae", "vq-vae"],
)
def test_a_generator_that_was_stopped_ends_as_one_that_never_was(
    settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generate = replace(generator_models.TINY, beta_updates=8, **settings)
    words = {"task": "generate", "generate": generate, "data": vision_data.folder()}
    training_run.train(vision_runs.config(tmp_path / "whole", **words))
    real, count = GenerationTask.loss, [0]

    def loss(self: GenerationTask, split: Split, indices: Tensor) -> dict[str, Tensor]:
        count[0] += 1
        if count[0] == 6:
            os.kill(os.getpid(), signal.SIGINT)
        return real(self, split, indices)

    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(GenerationTask, "loss", loss)
        training_run.train(vision_runs.config(tmp_path / "stopped", **words))
    run, whole = vision_runs.only_run(tmp_path / "stopped"), vision_runs.only_run(tmp_path / "whole")
    torch.manual_seed(123)  # whatever else the process did since
    train.main(["--resume", str(run.path)])
    ended, expected = vision_runs.final(run), vision_runs.final(whole)
    assert ended.keys() == expected.keys() and all(torch.equal(ended[name], expected[name]) for name in ended)
    assert int(ended["updates"]) == 12 if settings["model"] == "vae" else bool(ended["token_counts"].sum())
    assert run.read_result()["test"]["elbo_bits"] == whole.read_result()["test"]["elbo_bits"]
