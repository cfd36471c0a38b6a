"""Every task by name."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from envs import scenes
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.data import dataset as data
from rl_gen_lab.training.config import Config
from rl_gen_lab.training.tasks import TASKS


@pytest.fixture(scope="module")
def pong(tmp_path_factory: pytest.TempPathFactory) -> data.Dataset:
    path = tmp_path_factory.mktemp("pong") / "data"
    return data.load(scenes.write(scenes.Config("Pong", frames=20, every=8, out=path)))


@pytest.mark.slow
@pytest.mark.parametrize("task", ["caption", "classify", "detect", "localize", "segment"])
def test_labels_are_smoothed_where_that_is_asked_for(task: Any, pong: data.Dataset) -> None:
    base = Config(task=task)
    split, losses = pong.splits["train"], []
    for share in (0.0, 0.2):
        settings = replace(getattr(base, task), label_smoothing=share)
        torch.manual_seed(0)
        learner = TASKS[task](replace(base, **{task: settings}), pong, torch.device("cpu"))
        losses.append(float(learner.loss(split, torch.arange(4))["loss"].detach()))
    assert losses[0] != losses[1]
    with pytest.raises(ConfigError, match="label_smoothing"):
        replace(getattr(base, task), label_smoothing=1.5)
