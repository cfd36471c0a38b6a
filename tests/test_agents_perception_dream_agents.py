"""Agents of dreams know the game that they are of."""

from __future__ import annotations

import json
from pathlib import Path

import latent_runs
import pytest

from agents.perception.dream_agents import dream_run_of, game_of
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.runs.folder import RunFolder


def run_of(path: Path, config: dict[str, object]) -> RunFolder:
    path.mkdir(exist_ok=True)
    (path / "config.json").write_text(json.dumps({"config": config}))
    return RunFolder.open(path)


def test_the_game_is_seen_as_in_the_dream(tmp_path: Path) -> None:
    name = f"dream:{latent_runs.dream_run('vq-vae').path}"
    game, world = game_of(run_of(tmp_path, {"env": name}), 0.25, 100)
    assert game == "ALE/Pong-v5" and world.observe == name and world.sticky == 0.25
    assert world.max_episode_frames == 400


def test_agents_of_a_game_seen_by_a_dream_have_one_too(tmp_path: Path) -> None:
    assert dream_run_of(run_of(tmp_path, {"env": "Pong", "world": {"observe": "dream:runs/x"}})) == "runs/x"
    with pytest.raises(ConfigError, match="was not trained in dreams"):
        dream_run_of(run_of(tmp_path, {"env": "Pong", "world": {"observe": "vae:runs/x"}}))
