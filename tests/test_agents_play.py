"""Watching a trained agent: labeled frames of its play."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

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


@pytest.mark.parametrize("unused", [{"frames": 7}, {"random_episodes": 0.5}, {"every": 2}, {"history": True}])
def test_settings_of_scenes_are_refused_without_a_folder_for_them(tmp_path: Path, unused: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"is a setting of --scenes FOLDER"):
        play.Config(**unused)
    play.Config(scenes=tmp_path, **unused)


def test_as_many_frames_are_allowed_as_envs_scenes_writes(tmp_path: Path) -> None:
    play.Config(scenes=tmp_path, frames=10**9)
    with pytest.raises(ConfigError, match="frames must be from 1 to 10"):
        play.Config(scenes=tmp_path, frames=10**9 + 1)


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


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder `runs` with a trained agent, in the folder that one is in."""
    (path,) = (Path(__file__).resolve().parent / "recorded").glob("ppo__*")
    shutil.copytree(path, tmp_path / "runs" / path.name)
    monkeypatch.chdir(tmp_path)
    return Path("runs") / path.name


@pytest.mark.slow
def test_without_a_run_the_newest_is_played_and_named(recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    play.main(["--episodes", "1", "--film-steps", "3"])
    said = capsys.readouterr().out
    assert f"playing the newest run, {recorded}\n" in said and "ppo (best): " in said
    assert (recorded / "videos" / "play.mp4").exists()


def test_without_any_run_it_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        play.main([])
    (line,) = capsys.readouterr().err.splitlines()
    assert "no run folder in runs/ holds a trained agent" in line


def test_a_window_without_a_screen_is_one_line_before_anything_is_played(
    recorded: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    with pytest.raises(SystemExit) as stopped:
        play.main([str(recorded), "--render", "human"])
    said = capsys.readouterr()
    assert stopped.value.code == 2 and "there is no screen here" in said.err and not said.out


@pytest.mark.slow
def test_a_window_shows_an_episode(
    recorded: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "offscreen")  # a driver of the user's own choice
    play.main([str(recorded), "--render", "human", "--episodes", "1", "--film-steps", "3"])
    said = capsys.readouterr().out
    assert "ppo (best): " in said and "played the first 3 steps of an episode, return" in said
    assert not (recorded / "videos" / "play.mp4").exists()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--stochastic", "--greedy"], "choose one of --stochastic and --greedy"),
        (["--render", "human", "--scenes", "datasets/it"], "leave out --render human"),
    ],
)
def test_what_excludes_each_other_is_refused(flags: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        play.main(flags)
    assert said in capsys.readouterr().err
