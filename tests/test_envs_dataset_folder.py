"""Dataset folders on disk: splits, labels, refused and damaged folders."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scene_folders import files, pong_folder, read

from envs import scenes
from envs.dataset import folder

with contextlib.redirect_stdout(io.StringIO()):
    from faster_coco_eval import COCO


@pytest.fixture
def pong() -> Path:
    return pong_folder()


@pytest.mark.slow
def test_a_whole_folder_is_left_as_it_is_and_a_lost_file_is_written_again(tmp_path: Path) -> None:
    path = tmp_path / "data"
    config = scenes.Config("Pong", frames=10, seed=3, out=path, every=5)  # each time all of them are played anew
    whole = files(scenes.write(config))
    before = {file: file.stat().st_mtime_ns for file in path.rglob("*")}
    begun: list[int] = []
    scenes.write(config, on_frame=begun.append)
    assert begun == [10] and {file: file.stat().st_mtime_ns for file in path.rglob("*")} == before
    (path / "sheet.png").unlink()
    (path / "parts").mkdir()  # a command that was stopped while it tidied up
    scenes.write(config)
    assert files(path) == whole and not (path / "parts").exists()
    for lost in ("images/000007.png", "annotations/slots_val.json"):
        (path / lost).unlink()
        scenes.write(config)
        assert files(path) == whole


def test_a_folder_that_another_command_writes_is_refused(tmp_path: Path) -> None:
    config = scenes.Config("Pong", frames=10, out=tmp_path / "data", every=5)
    with folder.only_writer(config.path):
        with pytest.raises(folder.FolderError, match="is being written by another command: wait for it"):
            scenes.write(config)
        assert not any(config.path.iterdir())
    with folder.only_writer(config.path):  # free again
        pass


def test_a_folder_of_other_settings_is_left_alone(pong: Path, tmp_path: Path) -> None:
    before = files(pong)
    with pytest.raises(ValueError, match=r"holds a dataset of other settings \(frames, seed\)"):
        scenes.write(scenes.Config("Pong", frames=50, seed=9, out=pong, every=5))
    assert files(pong) == before
    (tmp_path / "letter.txt").write_text("mine")
    with pytest.raises(ValueError, match="is not empty and holds no dataset"):
        scenes.write(scenes.Config("Pong", frames=50, out=tmp_path))


DEEP = "[" * 100_000 + "]" * 100_000


def test_a_damaged_file_of_a_folder_is_named_and_nothing_is_written(pong: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(pong, data)
    about = data / "dataset.json"
    whole = json.loads(about.read_text())
    other_types = [
        json.dumps(whole | {name: None}) for name in ("settings", "splits", "rejected", "episodes", "frames")
    ]
    counts = json.dumps(whole | {"splits": {"train": "many"}})
    for content in (about.read_text()[:300], "[]", DEEP, counts, *other_types):
        about.write_text(content)
        with pytest.raises(folder.FolderError, match=r"dataset\.json is damaged"):
            scenes.write(scenes.Config("Pong", frames=40, seed=3, out=data, every=5))
        assert not (data / "parts").exists()


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose command was stopped after its second episode."""
    path = tmp_path_factory.mktemp("stopped") / "data"

    def stop(done: int) -> None:
        if done == 9:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scenes.write(scenes.Config("Pong", frames=40, seed=3, out=path, every=5), on_frame=stop)
    return path


@pytest.mark.parametrize("name", ["settings.json", "00001.json"])
@pytest.mark.parametrize("damage", ["cut short", "deep", "a list", "another value", "nothing in it"])
def test_damaged_parts_are_named_and_left_as_they_are(stopped: Path, tmp_path: Path, name: str, damage: str) -> None:
    data = tmp_path / "data"
    shutil.copytree(stopped, data)
    file = data / "parts" / name
    text = file.read_text()
    damaged = {"cut short": text[:100], "deep": DEEP, "a list": "[]", "nothing in it": "{}"}
    file.write_text(
        damaged.get(damage, text.replace('"tries":4', '"tries":"4"').replace('"frames":40', '"frames":"4"'))
    )
    before = files(data)
    with pytest.raises(folder.FolderError, match=r"is damaged|holds a dataset of other settings"):
        scenes.write(scenes.Config("Pong", frames=40, seed=3, out=data, every=5))
    assert files(data) == before
    if name == "00001.json" and damage == "cut short":  # one of them: what is written anew does not depend on it
        file.unlink()
        scenes.write(scenes.Config("Pong", frames=40, seed=3, out=data, every=5))
        assert files(data) == files(pong_folder())


def test_a_file_that_is_too_large_is_not_read(stopped: Path, tmp_path: Path) -> None:
    shutil.copytree(stopped, tmp_path / "data")
    with (tmp_path / "data" / "parts" / "00001.json").open("r+b") as file:
        file.truncate(2**40)
    with pytest.raises(folder.FolderError, match="more than"):
        scenes.write(scenes.Config("Pong", frames=40, seed=3, out=tmp_path / "data", every=5))


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
    categories = set()
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
            categories.add(name)
    assert categories == set(palette)


def test_captions_and_slots_belong_to_their_images(pong: Path) -> None:
    for split in folder.SPLITS:
        ids = [image["id"] for image in read(pong, "instances", split)["images"]]
        captions = read(pong, "captions", split)["annotations"]
        assert [c["image_id"] for c in captions] == [i for i in ids for _ in range(5)]
        slots = read(pong, "slots", split)["annotations"]
        assert [s["image_id"] for s in slots] == ids
        for slot, first in zip(slots, captions[::5], strict=True):
            score = f"{slot['slots']['player_score']:.0f} to {slot['slots']['enemy_score']:.0f}"
            assert f"the score is {score}" in first["caption"] and "flies" not in first["caption"]
