"""The command that plays restyled games, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from packed_agents import FILE
from PIL import Image

from agents import restyle
from agents.analysis import game_scores
from rl_gen_lab.explain.synthesis.stylers import FastStyle
from rl_gen_lab.runs.checkpoints import save_weights


def picture(folder: Path) -> str:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    Image.fromarray(pixels).save(folder / "a.png")
    return str(folder / "a.png")


@pytest.mark.slow
def test_scores_stand_beside_those_of_plain_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[np.ndarray] = []

    def score(self: game_scores.Player, change: object = None) -> np.ndarray:
        obs = np.random.default_rng(1).integers(0, 256, (2, 4, 84, 84), np.uint8)
        if callable(change):
            seen.append(change(obs, np.zeros(2)))
        return np.array([3.0, 5.0]) if change is None else np.array([1.0, 3.0])

    monkeypatch.setattr(game_scores.Player, "score", score)
    network = tmp_path / "network"
    (network / "checkpoints").mkdir(parents=True)
    (network / "config.json").write_text("{}")
    torch.manual_seed(0)
    save_weights(network / "checkpoints" / "fast.safetensors", dict(FastStyle().state_dict()), {})
    words = [str(FILE), picture(tmp_path), "colors,fast", "--network", str(network), "--runs-dir", str(tmp_path)]
    restyle.main(words)
    (run,) = tmp_path.glob("restyle__Pong__*")
    rows = json.loads((run / "result.json").read_text())["rows"]
    assert [row["method"] for row in rows] == ["as it is", "colors", "fast"]
    assert rows[0]["measures"] == {"score": 4.0, "games": 2} and rows[1]["measures"]["change"] == -2
    assert len(seen) == 2 and all(one.shape == (2, 4, 84, 84) and one.dtype == np.uint8 for one in seen)


def test_what_cannot_be_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, said in [
        (["fast"], "fast need --network RUN, which python -m rl_gen_lab.style FRAMES"),
        (["search"], "no method 'search'; there are colors, fast, any, and all"),
        (["any", "--network", "nowhere"], "no run folder at nowhere"),
    ]:
        with pytest.raises(SystemExit) as stopped:
            restyle.main([str(FILE), picture(tmp_path), *words, "--runs-dir", str(tmp_path / "runs")])
        assert stopped.value.code == 2 and said in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()
