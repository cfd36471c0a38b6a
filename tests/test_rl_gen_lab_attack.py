"""The command that fools a vision model: what it writes, and what it refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import vision_data
from PIL import Image
from vision_runs import config, only_run

from agents.reports import made_pictures
from rl_gen_lab import attack
from rl_gen_lab.backbones.config import BackboneConfig
from rl_gen_lab.explain.fooling import answer
from rl_gen_lab.runs.folder import RunFolder
from rl_gen_lab.training.load import load_task
from rl_gen_lab.training.run import train
from rl_gen_lab.vision.recognition.config import ClassifyConfig

CAPTIONER = Path(__file__).resolve().parent / "recorded" / "caption_attention__pong__0__20261128-131715"
SMALL = ClassifyConfig(choices=BackboneConfig(width=8, stages=2, depth=1, norm="batch"))


@pytest.mark.slow
def test_a_picture_of_anything_becomes_a_ball_and_the_saved_file_fools(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(config(tmp_path, task="classify", classify=SMALL))
    run = only_run(tmp_path)
    picture = tmp_path.parent / f"{tmp_path.name}.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 60, 3), dtype=np.uint8)).save(picture)
    attack.main([str(run.path), "--to", "ball", "--image", str(picture)])
    said = capsys.readouterr().out
    assert "after:  ball" in said and "gray levels" in said
    with Image.open(run.path / "pictures" / "fooled.png") as image:
        assert image.size == (vision_data.W, vision_data.H)
        pixels = torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1)
    assert answer(load_task(run.path, "classify"), pixels) == "ball"


def test_what_is_not_reached_is_said_and_has_an_exit_code_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "captioner"
    shutil.copytree(CAPTIONER, run)
    picture = tmp_path / "noise.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 60, 3), dtype=np.uint8)).save(picture)
    words = [str(run), "--image", str(picture), "--levels", "1", "--steps", "1"]
    with pytest.raises(SystemExit) as stopped:
        attack.main([*words, "--say", "ball ball ball ball ball."])
    said = capsys.readouterr().out
    assert stopped.value.code == 1 and "not reached within 1 gray level;" in said and "by at most" not in said


def test_several_images_have_a_run_of_their_own_with_random_signs_beside_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(CAPTIONER), "--data", str(CAPTIONER.parent / "pong"), "--images", "3", "--split", "train"]
    words += ["--levels", "2", "--steps", "1", "--runs-dir", str(tmp_path)]
    with pytest.raises(SystemExit) as stopped:
        attack.main([*words, "--say", "ball ball ball ball ball."])
    assert stopped.value.code == 1
    (run,) = tmp_path.iterdir()
    rows = json.loads((run / "result.json").read_text())["rows"]
    assert [row["method"] for row in rows] == ["pgd", "random signs"]
    assert rows[0]["measures"] == {"images": 3.0, "said_1": 0.0, "said_2": 0.0}
    with Image.open(run / "pictures" / "attack.png") as image:
        assert image.height > 3 * 200
    (row, control) = made_pictures.rows_of(RunFolder.open(run), "a claim")
    assert row["subject"].startswith('"ball ball') and control["method"] == "random signs"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--say", "ball.", "--images", "2", "--index", "1"], "leave out --image and --index"),
        (["--say", "qwertz."], "has no word 'qwertz'"),
        (["--to", "ball"], "--to is for classifiers"),
        ([], "choose one of --to CATEGORY"),
        (["--say", "ball.", "--image", __file__], "is no image in PNG"),
        (["--say", "ball.", "--image", "nothing.png"], "cannot read nothing.png: No such file"),
        (["--say", "ball.", "--levels", "0"], "--levels"),
        (["--say", "ball.", "--levels", "0.5"], "--levels"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        attack.main([str(CAPTIONER), *words])
    error = capsys.readouterr().err
    assert stopped.value.code == 2 and said in error
