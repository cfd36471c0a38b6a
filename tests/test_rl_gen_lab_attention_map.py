"""Pictures of attention: where they glow; what a training leaves, and what the command says of a saved run."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pong_models
import pytest
from PIL import Image

from rl_gen_lab import caption
from rl_gen_lab.data import dataset as data
from rl_gen_lab.runs.folder import RunFolder
from rl_gen_lab.vision.captioning.attention_map import DIM, PANEL_HEIGHT, draw, heat

GREY = np.full((40, 40, 3), 100, np.uint8)


def test_it_glows_where_it_is_looked_at_and_nowhere_when_everywhere_is_alike() -> None:
    even = heat(GREY, np.full((4, 4), 1 / 16))
    assert (even == round(100 * DIM)).all()
    one = np.zeros((4, 4))
    one[1, 3] = 1
    shown = heat(GREY, one)
    bright = shown.astype(int).sum(-1) > even.astype(int).sum(-1)
    assert bright[15, 35] and shown[15, 35, 0] == shown[..., 0].max()
    assert not bright[:, :20].any() and not bright[30:].any()
    faint = np.full((4, 4), 0.9 / 15)
    faint[1, 3] = 0.1
    assert even[15, 35, 0] < heat(GREY, faint)[15, 35, 0] < shown[15, 35, 0], "a little more than the others glows less"


def test_a_training_leaves_pictures_with_a_panel_for_every_word() -> None:
    run = RunFolder.open(pong_models.run("caption"))
    files = sorted((run.path / "pictures").glob("attention_val_*.png"))
    val = data.load(pong_models.folder()).splits["val"]
    assert [file.stem.rpartition("_")[2] for file in files] == sorted(label.file.stem for label in val.labels)
    captioner = caption.open_captioner(run.path)
    (told,) = captioner.generate(val.images[:1])
    picture = draw(captioner, val.images[0], told, ("true words",))
    panels = 1 + len(told.words)
    assert picture.height > -(-panels // 8) * (210 * round(PANEL_HEIGHT / 210)) and picture.width >= 8 * 160
    with Image.open(files[0]) as saved:
        assert saved.width == picture.width


def test_the_command_gives_the_figures_of_the_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    shutil.copytree(pong_models.run("caption"), run)
    shutil.rmtree(run / "pictures")
    caption.main([str(run), "--split", "test", "--pictures", "1"])
    said = capsys.readouterr().out
    assert caption.open_captioner(run).target_metric == RunFolder.open(run).read_result()["goal"] == "slot_accuracy"
    for name, value in RunFolder.open(run).read_result()["test"].items():
        if name != "ms_per_image":
            found = re.search(rf"^  {name} (\S+)$", said, re.MULTILINE)
            assert found and float(found[1]) == pytest.approx(value, abs=1e-4), name
    assert len(list((run / "pictures").glob("attention_test_*.png"))) == 1
    caption.main([str(run), "--beam", "3", "--images", "1", "--pictures", "0"])
    assert "val, 1 images, beam 3" in capsys.readouterr().out


def test_what_is_no_captioner_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for flags, words in (
        ([str(pong_models.run("detect"))], "not of 'caption'"),
        ([str(tmp_path / "nowhere")], "no run folder"),
        ([str(pong_models.run("caption")), "--beam", "0"], "beam at least 1"),
        ([str(pong_models.run("caption")), "--data", str(tmp_path)], "has no labels"),
    ):
        with pytest.raises(SystemExit) as caught:
            caption.main(flags)
        assert caught.value.code == 2
        assert words in capsys.readouterr().err
