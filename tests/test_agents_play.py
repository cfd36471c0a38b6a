"""Watching a trained agent: labelled frames of its play."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pong_models
import pytest

from agents import play
from agents.rl.interfaces import Policy
from agents.training.load import load_policy
from envs.config import EnvConfig
from envs.ground_truth.registry import game_of
from envs.ground_truth.state_reader import observation_names
from rl_gen_lab.cli.errors import CheckpointError, ConfigError
from rl_gen_lab.runs.folder import RunFolder


@pytest.mark.parametrize(("last", "said"), [(True, "--which last"), (False, "has no best agent yet: resume it")])
def test_a_run_without_a_best_agent_is_named_with_what_can_be_done(tmp_path: Path, last: bool, said: str) -> None:
    run = RunFolder.create(tmp_path, "dqn", "CartPole", 1)
    run.write_config({"exp_name": "dqn", "config": {"env": "CartPole"}})
    if last:
        (run.checkpoints / "last.safetensors").touch()
    with pytest.raises(CheckpointError, match=said):
        load_policy(run, "best")


def test_a_folder_that_cannot_take_an_agent_s_play_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("mine")
    config = play.Config(tmp_path / "run", scenes=tmp_path, frames=20)
    for folder, message in (
        (tmp_path, "no dataset of this program; choose another --scenes"),
        (tmp_path / "letter.txt", "is a file"),
    ):
        with pytest.raises(ConfigError, match=message):
            play.write_scenes(replace(config, scenes=folder), "ALE/Pong-v5", EnvConfig(), Policy(np.zeros_like), "it")


@pytest.mark.slow
@pytest.mark.parametrize("which", ["best", "last"])
def test_a_folder_records_which_network_played(
    which: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = RunFolder.create(tmp_path / "runs", "dqn", "Pong", 1)
    task = {"hash": "h", "text": "t"}
    config = {"world": {"observe": "objects"}, "eval": {"epsilon": 0.0}}
    run.write_config({"exp_name": "dqn", "env_id": "ALE/Pong-v5", "fingerprint": task, "config": config})
    monkeypatch.setattr(play, "load_policy", lambda *_: Policy(lambda obs: np.zeros(len(obs), np.int64)))
    play.main([str(run.path), "--which", which, "--scenes", str(tmp_path / "data"), "--frames", "3"])
    about = json.loads((tmp_path / "data" / "dataset.json").read_text())
    assert about["settings"]["player"] == f"{run.path.name} ({which})"
    assert "\nno frames for val and test: no model can be trained on this folder; 10 frames" in capsys.readouterr().out


@pytest.mark.slow
def test_an_agent_s_play_is_written_as_a_dataset(tmp_path: Path) -> None:
    seen = []

    def act(obs: np.ndarray) -> np.ndarray:
        seen.append(obs.shape)
        return np.full(len(obs), 2)  # always up

    config = play.Config(tmp_path / "run", scenes=tmp_path / "data", frames=20, epsilon=0.0)
    play.write_scenes(config, "ALE/Pong-v5", EnvConfig(observe="objects", sticky=0.0), Policy(act), "climber")
    about = json.loads((tmp_path / "data" / "dataset.json").read_text())
    assert about["frames"] == 20 and about["settings"]["player"] == "climber"
    assert set(seen) == {(1, 9)}, "the agent sees what it was trained on"
    slots = json.loads((tmp_path / "data" / "annotations" / "slots_train.json").read_text())["annotations"]
    late = [s["slots"]["player_y"] for s in slots if not s["intervened"]][1::2]
    assert max(late) < 60, "always up ends at the top"


@pytest.mark.slow
def test_the_play_of_an_agent_that_observes_detections_is_a_task_of_its_own(tmp_path: Path) -> None:
    shapes = []

    def act(obs: np.ndarray) -> np.ndarray:
        shapes.append(obs.shape)
        return np.zeros(len(obs), np.int64)

    world = EnvConfig(observe=f"detector:{pong_models.run('detect')}")
    config = play.Config(tmp_path / "run", scenes=tmp_path / "data", frames=20, every=2)
    play.write_scenes(config, "ALE/Pong-v5", world, Policy(act), "it")
    task = json.loads((tmp_path / "data" / "dataset.json").read_text())["task"]
    assert task["fields"]["observe"].startswith("detector ") and str(tmp_path) not in task["text"]
    assert shapes and set(shapes) == {(1, len(observation_names(game_of("Pong"))))}
