"""The command that searches for frames of an agent, and what it refuses."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from packed_agents import FILE
from PIL import Image

from agents import dqn, visualize

SMALL = ["--frames", "6", "--most-steps", "40", "--search.steps", "4", "--search.octaves", "1"]


@pytest.mark.slow
def test_each_action_is_searched_for_beside_real_and_reachable_frames(tmp_path: Path) -> None:
    visualize.main([str(FILE), *SMALL, "--search.units", "0", "--runs-dir", str(tmp_path)])
    (run,) = tmp_path.glob("visualize__Pong__*")
    (row,) = json.loads((run / "result.json").read_text())["rows"]
    assert row["subject"] == "NOOP" and set(row["measures"]) == {"found", "best_real_frame", "best_reachable"}
    with Image.open(run / "pictures" / "maximize.png") as picture:
        assert picture.width > 1_000  # four stacks of four frames


@pytest.mark.slow
@pytest.mark.parametrize("method", ["dream", "invert"])
def test_dreams_and_inversions_are_drawn(method: str, tmp_path: Path) -> None:
    visualize.main([str(FILE), method, *SMALL, "--no-reachable", "--runs-dir", str(tmp_path)])
    (run,) = tmp_path.glob("visualize__Pong__*")
    assert (run / "pictures" / f"{method}.png").is_file() and json.loads((run / "result.json").read_text())["rows"]


@pytest.mark.slow
def test_layers_units_and_agents_that_cannot_be_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--env", "CartPole", "--total-env-steps", "40", "--learning-starts-env-steps", "20", "--no-film"]
    words += ["--eval.episodes", "1", "--eval.final-episodes", "1"]
    dqn.main([*words, "--runs-dir", str(tmp_path), "--wandb.mode", "disabled"])
    (cartpole,) = tmp_path.glob("dqn__*")
    layer = ["--search.layer", "backbone.conv.22"]
    for flags, said in [
        ([str(FILE), "dream", *layer], "no layer 'backbone.conv.22'; there are .* Did you mean 'backbone.conv.2'"),
        ([str(cartpole)], "this agent sees numbers, not frames"),
    ]:
        with pytest.raises(SystemExit) as stopped:
            visualize.main([*flags, *SMALL, "--no-reachable", "--runs-dir", str(tmp_path)])
        error = capsys.readouterr().err.strip()
        assert stopped.value.code == 2 and re.search(said, error.splitlines()[-1])
