"""The command of styles: pictures and frames, and what is refused."""

from __future__ import annotations

import json
import re
import types
from pathlib import Path

import numpy as np
import pytest
import vision_data
from PIL import Image
from pong_models import run

from rl_gen_lab import style
from rl_gen_lab.data import pictures

QUICK = ["--iterations", "2", "--updates", "2", "--size", "32"]


def picture(file: Path, seed: int, side: int = 40) -> str:
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)).save(file)
    return str(file)


def test_every_method_is_drawn_and_measured_and_a_network_used_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gray = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
    shipped = types.SimpleNamespace(**dict.fromkeys(pictures.SHIPPED.values(), lambda: gray))
    monkeypatch.setattr(pictures, "import_module", lambda name: shipped)
    words = [picture(tmp_path / "a.png", 0), picture(tmp_path / "b.png", 1)]
    style.main([*words, "all", *QUICK, "--runs-dir", str(tmp_path / "first")])
    (made,) = (tmp_path / "first").glob("style__b__*")
    rows = json.loads((made / "result.json").read_text())["rows"]
    assert [row["method"] for row in rows] == ["as it is", "colors", "search", "fast", "any"]
    assert rows[0]["measures"]["edges_kept"] == pytest.approx(1) and rows[0]["subject"] == "a.png as b.png"
    with Image.open(made / "pictures" / "fast_0.png") as image:
        assert image.size == (32, 32)
    again = [*words, "fast", "--network", str(made), *QUICK, "--runs-dir", str(tmp_path / "second")]
    style.main(again)
    (later,) = (tmp_path / "second").glob("style__b__*")
    (_, row) = json.loads((later / "result.json").read_text())["rows"]
    assert row["measures"]["training_core_seconds"] == 0
    assert (later / "pictures" / "fast_0.png").read_bytes() == (made / "pictures" / "fast_0.png").read_bytes()
    (made / "checkpoints" / "fast.safetensors").unlink()
    with pytest.raises(SystemExit):  # before there is a folder
        style.main([*words, "colors", "fast", "--network", str(made), *QUICK, "--runs-dir", str(tmp_path / "third")])
    assert not (tmp_path / "third").exists()


@pytest.mark.slow
def test_a_detector_is_asked_about_restyled_frames(tmp_path: Path) -> None:
    folder = run("detect")
    data = json.loads((folder / "config.json").read_text())["config"]["data"]
    words = [data, data, "fast", "--detector", str(folder), "--images", "2", "--split", "train", "--updates", "1"]
    style.main([*words, "--augment", str(tmp_path / "copy"), "--share", "0.2", "--runs-dir", str(tmp_path)])
    assert (tmp_path / "copy" / "images").is_dir()
    (made,) = tmp_path.glob("style__*")
    rows = json.loads((made / "result.json").read_text())["rows"]
    assert all({"f1", "f1/ball", "f1/player", "f1/enemy"} <= set(row["measures"]) for row in rows)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["serch"], "no method 'serch'; there are colors, search, fast, any, and all. Did you mean 'search'"),
        (["search", "--network", "x"], "--network is a setting of the methods fast and any"),
        (["fast", "--network", "nowhere"], "no run folder at nowhere"),
        (["search", "--augment", "x"], "--augment copies a folder of annotated images, by one method"),
        (["search", "--detector", "x"], "let CONTENT be a folder of annotated images"),
        (["search", "--share", "0.2"], "--share is a setting of --augment FOLDER, which is not given"),
    ],
)
def test_what_cannot_be_is_one_line(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    two = [picture(tmp_path / "a.png", 0), picture(tmp_path / "b.png", 1)]
    with pytest.raises(SystemExit) as stopped:
        style.main([*two, *words, *QUICK, "--runs-dir", str(tmp_path / "runs")])
    error = capsys.readouterr().err
    assert stopped.value.code == 2 and re.search(said, error) and error.count("\n") == 1
    assert not (tmp_path / "runs").exists()


def test_pictures_that_are_none_or_too_small_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = picture(tmp_path / "small.png", 0, 9)
    for words, said in [([small, small], "small.png is 9 x 9: pictures of 16"), (["nothing", small], "no picture")]:
        with pytest.raises(SystemExit):
            style.main([*words, "--runs-dir", str(tmp_path / "runs")])
        assert said in capsys.readouterr().err


def test_a_style_of_a_single_color_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (40, 40), (9, 9, 9)).save(tmp_path / "black.png")
    with pytest.raises(SystemExit):
        style.main([picture(tmp_path / "a.png", 0), str(tmp_path / "black.png"), "--runs-dir", str(tmp_path / "runs")])
    error = capsys.readouterr().err
    assert "the picture of the style has a single color" in error and error.count("\n") == 1
    assert not (tmp_path / "runs").exists()


def test_the_method_any_says_what_it_needs_the_extra_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def absent(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(pictures, "import_module", absent)
    two = [picture(tmp_path / "a.png", 0), picture(tmp_path / "b.png", 1)]
    with pytest.raises(SystemExit):
        style.main([*two, "any", *QUICK, "--runs-dir", str(tmp_path / "runs")])
    error = capsys.readouterr().err
    assert re.search(r'the method any learns styles from .*: install the extra "pictures", .*--network', error)
    assert error.count("\n") == 1 and not (tmp_path / "runs").exists()
    style.main([*two, "colors", *QUICK, "--runs-dir", str(tmp_path / "runs")])  # the others need no such picture


def test_the_folder_of_the_copy_is_refused_before_anything_is_trained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, look = str(vision_data.folder()), picture(tmp_path / "a.png", 0)
    for words, said in [
        (["--augment", f"{data}/copy"], "lies within"),
        (["--augment", str(tmp_path / "a.png" / "copy")], "is no folder that you may write in"),
        (["--augment", str(tmp_path / "new"), "--share", "0.01"], "training images is none"),
    ]:
        with pytest.raises(SystemExit):
            style.main([data, look, "fast", *words, "--updates", "10000", "--runs-dir", str(tmp_path / "runs")])
        assert said in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()
