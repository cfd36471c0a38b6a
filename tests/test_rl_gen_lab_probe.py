"""The command `probe`: a table and its record, from a folder with true numbers."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import generator_models
import generator_runs
import pytest
import torch
import vision_runs

from envs import scenes
from rl_gen_lab import probe
from rl_gen_lab.generators import probes
from rl_gen_lab.training.run import train


@pytest.mark.slow
def test_a_code_is_probed_beside_that_of_a_random_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = scenes.write(scenes.Config("Pong", frames=60, every=4, out=tmp_path / "pong"))
    settings = replace(generator_models.TINY, beta_updates=1_000)
    train(vision_runs.config(tmp_path / "runs", task="generate", generate=settings, epochs=1, data=data))
    run = vision_runs.only_run(tmp_path / "runs")
    monkeypatch.setattr(probes, "EPOCHS", 2)
    probe.main([str(run.path)])
    record = json.loads((run.path / "probe.json").read_text())
    assert {"ball_x", "ball_y", "player_y"} <= set(record["variables"]) and 0 < record["test_images"] <= 12
    for score in record["variables"].values():
        assert set(score) == {"code", "untrained"} and 0 <= score["code"]["f1"] <= 1
    assert set(record["mean_f1"]) == {"code", "untrained"} and "mean" in capsys.readouterr().out


def test_test_images_that_were_trained_on_are_left_out() -> None:
    images = torch.arange(3 * 12, dtype=torch.uint8).view(3, 3, 2, 2)
    assert probe.unseen(images[:2], images[1:]).tolist() == [False, True]


@pytest.mark.parametrize(("model", "message"), [("vq-vae", "is not of numbers"), ("vae", "no true numbers")])
def test_what_cannot_be_probed_is_refused(model: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        probe.main([str(generator_runs.run_of(model).path)])
    assert message in capsys.readouterr().err
