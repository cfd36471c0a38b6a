"""Dataset folders: the same bytes for the same command, whole after a kill, and read by another library."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from envs import scenes
from envs.config import EnvConfig
from envs.dataset import coco, folder
from envs.ground_truth.objects import Object

with contextlib.redirect_stdout(io.StringIO()):
    from faster_coco_eval import COCO
    from faster_coco_eval import mask as their_masks


def files(path: Path) -> dict[str, bytes]:
    return {str(file.relative_to(path)): file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()}


def read(path: Path, kind: str, split: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((path / "annotations" / f"{kind}_{split}.json").read_text())
    return content


@pytest.fixture(scope="module")
def pong(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pong") / "data"
    return scenes.write(scenes.Config("Pong", frames=40, seed=3, out=path, every=5))


def test_the_same_command_gives_the_same_bytes(pong: Path, tmp_path: Path) -> None:
    again = scenes.write(scenes.Config("Pong", frames=40, seed=3, out=tmp_path / "again", every=5))
    other = scenes.write(scenes.Config("Pong", frames=40, seed=4, out=tmp_path / "other", every=5))
    assert files(again) == files(pong)
    assert files(other)["images/000007.png"] != files(pong)["images/000007.png"]


def test_a_stopped_command_goes_on_to_the_same_bytes(pong: Path, tmp_path: Path) -> None:
    config = scenes.Config("Pong", frames=40, seed=3, out=tmp_path / "data", every=5)

    def stop(done: int) -> None:
        if done == 17:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scenes.write(config, on_frame=stop)
    assert len(list((tmp_path / "data" / "parts").glob("0*.json"))) == 4  # four frames an episode
    begun: list[int] = []
    scenes.write(config, on_frame=begun.append)
    assert 15 not in begun and 17 in begun, "whole episodes are not recorded again"
    assert files(tmp_path / "data") == files(pong)


@pytest.mark.parametrize("frames", [10, 24, 37, 199, 5_000, 5_013])
def test_every_split_has_frames_whatever_their_number(frames: int) -> None:
    shares, given = [], 0
    while given < frames:
        shares.append(min(scenes._share(frames, len(shares)), frames - given))
        given += shares[-1]
    assert sum(shares) == frames and min(shares) > 0 and max(shares) - min(shares) <= 1
    assert {folder.split_of(episode) for episode in range(len(shares))} == set(folder.SPLITS)
    assert len(shares) == min(max(frames // 20, 10), 20)


def test_a_whole_folder_is_left_as_it_is_and_a_lost_file_is_written_again(pong: Path, tmp_path: Path) -> None:
    path = tmp_path / "data"
    shutil.copytree(pong, path)
    config = scenes.Config("Pong", frames=40, seed=3, out=path, every=5)
    before = {file: file.stat().st_mtime_ns for file in path.rglob("*")}
    begun: list[int] = []
    scenes.write(config, on_frame=begun.append)
    assert begun == [40] and {file: file.stat().st_mtime_ns for file in path.rglob("*")} == before
    (path / "sheet.png").unlink()
    (path / "parts").mkdir()  # a command that was stopped while it tidied up
    scenes.write(config)
    assert files(path) == files(pong) and not (path / "parts").exists()
    for lost in ("images/000007.png", "annotations/slots_val.json"):
        (path / lost).unlink()
        scenes.write(config)
        assert files(path) == files(pong)


def test_a_folder_of_other_settings_is_left_alone(pong: Path, tmp_path: Path) -> None:
    before = files(pong)
    with pytest.raises(ValueError, match=r"holds a dataset of other settings \(frames, seed\)"):
        scenes.write(scenes.Config("Pong", frames=50, seed=9, out=pong, every=5))
    assert files(pong) == before
    (tmp_path / "letter.txt").write_text("mine")
    with pytest.raises(ValueError, match="is not empty and no dataset"):
        scenes.write(scenes.Config("Pong", frames=50, out=tmp_path))


def test_a_damaged_file_of_a_folder_is_named(pong: Path, tmp_path: Path) -> None:
    shutil.copytree(pong, tmp_path / "data")
    about = tmp_path / "data" / "dataset.json"
    for content in (about.read_text()[:300], "[]"):
        about.write_text(content)
        with pytest.raises(ValueError, match=r"dataset\.json is damaged"):
            scenes.write(scenes.Config("Pong", frames=40, seed=3, out=tmp_path / "data", every=5))


def test_ctrl_c_ends_the_command_without_a_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: Any, **__: Any) -> Path:
        raise KeyboardInterrupt

    monkeypatch.setattr(scenes, "write", stop)
    with pytest.raises(SystemExit) as ended:
        scenes.main(["--env", "Pong", "--frames", "20", "--out", str(tmp_path / "data")])
    assert ended.value.code == 130
    assert capsys.readouterr().err.splitlines() == ["stopped; the same command goes on from here"]


def test_episodes_are_whole_in_one_split(pong: Path) -> None:
    episodes = {split: {i["episode"] for i in read(pong, "instances", split)["images"]} for split in folder.SPLITS}
    assert all(episodes.values())
    assert sum(map(len, episodes.values())) == len(set().union(*episodes.values()))
    about = json.loads((pong / "dataset.json").read_text())
    assert about["splits"] == {"train": 32, "val": 4, "test": 4} and about["frames"] == 40
    assert sum(episode["frames"] for episode in about["episodes"]) == 40
    tries = sum(episode["tries"] for episode in about["episodes"])
    assert tries == 40 + sum(about["rejected"].values())


def test_another_library_reads_the_labels_and_finds_the_pixels(pong: Path) -> None:
    with contextlib.redirect_stdout(io.StringIO()):
        theirs = COCO(str(pong / "annotations" / "instances_train.json"))
    palette = {"ball": (236, 236, 236), "player": (92, 186, 92), "enemy": (213, 130, 74)}
    seen = set()
    for image in theirs.loadImgs(theirs.getImgIds()):
        with Image.open(pong / "images" / image["file_name"]) as file:
            pixels = np.asarray(file)
        assert pixels.shape == (image["height"], image["width"], 3) == (210, 160, 3)
        for thing in theirs.loadAnns(theirs.getAnnIds(imgIds=[image["id"]])):
            name = theirs.loadCats([thing["category_id"]])[0]["name"]
            mask = theirs.annToMask(thing).astype(bool)
            assert (pixels[mask] == palette[name]).all() and mask.sum() == thing["area"]
            ys, xs = np.nonzero(mask)
            assert thing["bbox"] == [xs.min(), ys.min(), np.ptp(xs) + 1, np.ptp(ys) + 1]
            seen.add(name)
    assert seen == set(palette)


def test_captions_and_slots_belong_to_their_images(pong: Path) -> None:
    for split in folder.SPLITS:
        ids = [image["id"] for image in read(pong, "instances", split)["images"]]
        said = read(pong, "captions", split)["annotations"]
        assert [c["image_id"] for c in said] == [i for i in ids for _ in range(5)]
        slots = read(pong, "slots", split)["annotations"]
        assert [s["image_id"] for s in slots] == ids
        for slot, first in zip(slots, said[::5], strict=True):
            score = f"{slot['slots']['player_score']:.0f} to {slot['slots']['enemy_score']:.0f}"
            assert f"the score is {score}" in first["caption"] and "flies" not in first["caption"]


def test_interventions_are_a_share_and_show_rare_scores(tmp_path: Path) -> None:
    path = scenes.write(scenes.Config("Pong", frames=40, out=tmp_path / "data", every=5, interventions=0.9))
    slots = [s for split in folder.SPLITS for s in read(path, "slots", split)["annotations"]]
    assert sum(s["intervened"] for s in slots) > 28
    assert max(s["slots"]["player_score"] for s in slots if s["intervened"]) > 10
    assert max(s["slots"]["player_score"] for s in slots if not s["intervened"]) < 3


def test_history_keeps_the_frame_before(tmp_path: Path) -> None:
    path = scenes.write(scenes.Config("Pong", frames=20, out=tmp_path / "data", every=30, history=True))
    moved = 0
    for split in folder.SPLITS:
        slots = {s["image_id"]: s["slots"] for s in read(path, "slots", split)["annotations"]}
        for image in read(path, "instances", split)["images"]:
            now, before = (
                np.argwhere(np.asarray(Image.open(path / "images" / image[key]))[34:194, :, 0] == 236)
                for key in ("file_name", "before")
            )
            velocity = slots[image["id"]]["ball_x_velocity"]
            if len(now) == len(before) == 8 and velocity is not None:
                assert now[:, 1].mean() - before[:, 1].mean() == velocity
                moved += 1
        assert "flies" in read(path, "captions", split)["annotations"][0]["caption"]
    assert moved > 5


def test_a_share_of_a_player_s_episodes_is_random_play(tmp_path: Path) -> None:
    def begun(share: float) -> int:
        firsts = []

        def player(obs: np.ndarray, first: bool) -> int:
            firsts.append(first)
            return 3

        out = tmp_path / str(share)
        scenes.write(scenes.Config("Pong", frames=20, out=out, every=2, random_episodes=share), player)
        return sum(firsts)

    assert (begun(0.0), begun(1.0)) == (10, 0) and 0 < begun(0.5) < 10


def test_a_player_gets_the_observations_of_the_standard_pipeline(tmp_path: Path) -> None:
    shapes, firsts = set(), []

    def player(obs: np.ndarray, first: bool) -> int:
        shapes.add(obs.shape)
        firsts.append(first)
        return 3

    config = scenes.Config("Pong", frames=20, out=tmp_path / "data", every=2, world=EnvConfig(frame_stack=2))
    path = scenes.write(config, player, who="somebody")
    assert shapes == {(2, 84, 84)}
    assert firsts[:5] == [True, False, False, False, True] and sum(firsts) == 10, "two frames of each, two steps apart"
    assert json.loads((path / "dataset.json").read_text())["settings"]["player"] == "somebody"


def test_the_command_says_how_large_before_and_how_many_after(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scenes.main(["--env", "Breakout", "--frames", "20", "--every", "2", "--out", str(tmp_path / "data")])
    first, *_, last = capsys.readouterr().out.splitlines()  # lines of progress between them on a slow machine
    said = float(first.rpartition("about ")[2].split()[0])
    size = sum(len(content) for content in files(tmp_path / "data").values()) / 1e6
    assert "20 frames of Breakout" in first and said >= 0
    assert "20 frames ({'train': 16, 'val': 2, 'test': 2})" in last
    with Image.open(tmp_path / "data" / "sheet.png") as sheet:
        assert sheet.size > (1400, 1000)
    assert scenes.expected_bytes(scenes.Config("Breakout", frames=20)) / 1e6 == pytest.approx(size, rel=0.5)


@pytest.mark.parametrize(("frames", "empty"), [(3, "val and test"), (9, "test"), (10, "")])
def test_splits_without_frames_are_named(
    frames: int, empty: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scenes.main(["--env", "Pong", "--frames", str(frames), "--every", "2", "--out", str(tmp_path / "data")])
    last = capsys.readouterr().out.splitlines()[-1]
    said = f"no frames for {empty}: no model can be trained on this folder; 10 frames or more fill every split"
    assert last == said if empty else "see" in last


def test_help_names_the_command_and_ends_quietly_when_nobody_reads_it() -> None:
    command = [sys.executable, "-m", "envs.scenes", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.startswith("usage: python -m envs.scenes [-h]")
    reader, writer = os.pipe()
    os.close(reader)
    quiet = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=120)
    os.close(writer)
    assert quiet.returncode == 141 and quiet.stderr == ""


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--env", "Qbert"], "no truth for ALE/Qbert-v5"),
        (["--env", "Pnog"], "did you mean 'Pong'"),
        (["--interventions", "2"], "interventions is a share"),
        (["--epsilon", "-1"], "epsilon is a share"),
        (["--frames", "0"], "at least 1"),
        (["--random-episodes", "1.5"], "random_episodes is a share"),
        (["--observe", "objects"], "random play looks at nothing"),
    ],
)
def test_what_cannot_be_meant_is_one_line(flags: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        scenes.main(flags)
    said = capsys.readouterr().err.splitlines()
    assert stopped.value.code == 2 and len(said) == 1 and message in said[0]


# ---- run lengths


@settings(deadline=None, max_examples=60)
@given(arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 9))), st.integers(0, 3), st.integers(0, 3))
def test_run_lengths_are_those_of_another_library(mask: np.ndarray, x: int, y: int) -> None:
    if not mask.any():
        return
    whole = np.zeros((15, 12), np.uint8)
    whole[y : y + mask.shape[0], x : x + mask.shape[1]] = mask
    text = coco.encode((x, y, mask.shape[1], mask.shape[0]), mask, (15, 12))
    theirs = their_masks.encode(np.asfortranarray(whole))["counts"]
    assert text == (theirs.decode() if isinstance(theirs, bytes) else theirs)
    np.testing.assert_array_equal(coco.decode(text, (15, 12)), whole.astype(bool))


def test_a_record_counts_categories_from_one() -> None:
    thing = Object("ball", (2, 3, 2, 1), np.array([[True, True]]))
    record = coco.annotation(7, 5, 1, thing, (10, 8))
    assert record["bbox"] == [2, 3, 2, 1] and record["area"] == 2 and record["segmentation"]["size"] == [10, 8]
