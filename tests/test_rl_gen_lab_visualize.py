"""The command that searches for images of vision models."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image
from pong_models import run

from rl_gen_lab import visualize

SMALL = ["--images", "4", "--search.steps", "2", "--search.octaves", "1", "--split", "train"]


@pytest.mark.slow
@pytest.mark.parametrize(("task", "method"), [("detect", "maximize"), ("segment", "dream")])
def test_searches_are_drawn_and_measured(task: str, method: str, tmp_path: Path) -> None:
    visualize.main([str(run(task)), method, *SMALL, "--runs-dir", str(tmp_path)])
    (made,) = tmp_path.glob("visualize__*")
    rows = json.loads((made / "result.json").read_text())["rows"]
    subjects = [row["subject"] for row in rows]
    assert subjects == ["ball", "player", "enemy"] if method == "maximize" else len(subjects) == 1
    with Image.open(made / "pictures" / f"{method}.png") as picture:
        assert picture.width > 200


@pytest.mark.slow
def test_layers_that_do_not_exist_and_other_models_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    for words, said in [
        ([str(run("segment")), "invert", "--search.layer", "nowhere"], "no layer 'nowhere'; there are"),
        ([str(run("caption"))], "is a run of 'caption', not of"),
    ]:
        with pytest.raises(SystemExit) as stopped:
            visualize.main([*words, *SMALL])
        assert stopped.value.code == 2 and said in capsys.readouterr().err
