"""The command `audit`: its table, its files, and data of another game."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import dot_world
import latent_runs
import pytest
from PIL import Image
from transition_folders import pong_transitions

from rl_gen_lab import audit
from rl_gen_lab.generators.world_models import audit as world_audit


def test_dreams_are_compared_and_the_table_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world_audit, "TRUE_STEPS", 8)  # the recording is short
    run = shutil.copytree(latent_runs.dream_run("pixels").path, tmp_path / "run")
    words = [str(run), "--data", str(pong_transitions()), "--split", "train", "--dreams", "2", "--horizon", "5"]
    words += ["--generator", str(latent_runs.generator_run("vae").path)]
    audit.main(words)
    printed = capsys.readouterr().out
    assert "dream                step  1" in printed and "usable horizon" in printed and "audit.gif" in printed
    result = json.loads((run / "audit.json").read_text())
    assert set(result["objects"]) == {
        *("dream", "last frame repeated", "constant velocity", "untrained memory", "shuffled actions")
    }
    assert result["objects"]["last frame repeated"]["5"]["player"]["dreams"] == 2
    assert (run / "pictures" / "audit.png").is_file()
    with Image.open(run / "pictures" / "audit.gif") as film:
        assert film.n_frames == 5


def test_a_recording_of_another_game_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        audit.main([str(latent_runs.dream_run("pixels").path), "--data", str(dot_world.folder())])
    assert "another world" in capsys.readouterr().err
