"""Worlds in codes: trained, measured and loaded again, without the generator's own run."""

from __future__ import annotations

import shutil
from pathlib import Path

import latent_runs
import pytest
import torch

from rl_gen_lab.cli.errors import CheckpointError, ConfigError
from rl_gen_lab.generators.world_models.config import DreamConfig
from rl_gen_lab.training.load import load_dream

MODELS = ["vae", "vq-vae"]


@pytest.mark.parametrize(("model", "goal"), [("vae", "nats"), ("vq-vae", "bits")])
def test_a_run_measures_codes_rewards_and_dreams(model: str, goal: str) -> None:
    result = latent_runs.dream_run(model).read_result()
    test = result["test"]
    assert result["status"] == "finished" and result["goal"] == f"code_log_likelihood_{goal}"
    assert test[f"code_log_likelihood_{goal}"] < 1e4 and test["wrong_pixels/1"] > 0 and "false_rewards" in test


@pytest.mark.parametrize("model", MODELS)
def test_a_run_is_loaded_without_the_run_of_its_generator(model: str, tmp_path: Path) -> None:
    copy = shutil.copytree(latent_runs.dream_run(model).path, tmp_path / "copy")
    text = (copy / "config.json").read_text()
    (copy / "config.json").write_text(text.replace(str(latent_runs.generator_run(model).path), "nowhere"))
    dream = load_dream(copy)
    frames, executed = dream.beginnings
    state = dream.model.begin(frames[:2], executed[:2])
    state, imagined = dream.model.imagine(state, executed[:2, 0])
    assert imagined.frames.shape == (2, 210, 160) and imagined.frames.dtype == torch.uint8
    assert set(imagined.rewards.tolist()) <= set(dream.world.rewards.tolist())


def test_a_run_that_does_not_say_its_generator_is_refused(tmp_path: Path) -> None:
    copy = shutil.copytree(latent_runs.dream_run("vae").path, tmp_path / "copy")
    text = (copy / "config.json").read_text()
    (copy / "config.json").write_text(text.replace('"generator": {', '"other": {'))
    with pytest.raises(CheckpointError, match="does not say what its generator is"):
        load_dream(copy)


def test_a_generator_is_needed() -> None:
    with pytest.raises(ConfigError, match=r"--dream\.generator RUN"):
        DreamConfig(model="latent")
