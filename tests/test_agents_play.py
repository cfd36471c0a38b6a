"""Watching a trained agent: labelled frames of its play."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from agents import play
from agents.policy import Policy
from envs.factory import EnvConfig


def test_an_agent_s_play_is_written_as_a_dataset(tmp_path: Path) -> None:
    seen = []

    def act(obs: np.ndarray) -> np.ndarray:
        seen.append(obs.shape)
        return np.full(len(obs), 2)  # always up

    config = play.Config(tmp_path / "run", scenes=tmp_path / "data", frames=20, epsilon=0.0)
    play.write_scenes(config, "ALE/Pong-v5", EnvConfig(observe="objects", sticky=0.0), Policy(act), "climber")
    about = json.loads((tmp_path / "data" / "dataset.json").read_text())
    assert about["frames"] == 20 and about["settings"]["player"] == "climber"
    assert set(seen) == {(1, 11)}, "the agent sees what it was trained on"
    slots = json.loads((tmp_path / "data" / "annotations" / "slots_train.json").read_text())["annotations"]
    late = [s["slots"]["player_y"] for s in slots if not s["intervened"]][1::2]
    assert max(late) < 60, "always up ends at the top"
