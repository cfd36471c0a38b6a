"""Dataset folders as tensors: read whole, statistics, files that are missing or damaged."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import vision_data
from coco_folders import H, W, coco_folder
from PIL import Image

from envs import scenes
from rl_gen_lab.data import dataset as data
from rl_gen_lab.data.records import DataError


@pytest.fixture(scope="module")
def pong(tmp_path_factory: pytest.TempPathFactory) -> data.Dataset:
    path = tmp_path_factory.mktemp("pong") / "data"
    return data.load(scenes.write(scenes.Config("Pong", frames=40, every=12, out=path, history=True)))


@pytest.mark.slow
def test_our_own_folder_is_read_whole(pong: data.Dataset) -> None:
    assert pong.categories == ("ball", "player", "enemy")
    assert {name: len(split) for name, split in pong.splits.items()} == {"train": 32, "val": 4, "test": 4}
    train = pong.splits["train"]
    assert train.images.shape == (32, 3, 210, 160) and train.images.dtype == torch.uint8
    colors = torch.tensor([(236, 236, 236), (92, 186, 92), (213, 130, 74)], dtype=torch.uint8)
    objects = 0
    for i in range(len(train)):
        boxes, categories = train.boxes(i)
        found, semantic = train.masks(i), train.semantic(i)
        assert boxes.shape == (len(categories), 4) and found.shape == (len(categories), 210, 160)
        for box, category, mask in zip(boxes.int(), categories, found, strict=True):
            assert (colors[category] == train.images[i][:, mask].T).all(), "masks lie on their pixels"
            ys, xs = torch.nonzero(mask, as_tuple=True)
            assert box.tolist() == [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
            assert (semantic[mask] == category + 1).all()
            objects += 1
        assert int((semantic > 0).sum()) == int(found.sum())
    assert objects > 64


def test_frames_before_are_read_where_they_are_kept(pong: data.Dataset, tmp_path: Path) -> None:
    val = pong.splits["val"]
    before = val.previous_frames()
    assert before.shape == val.images.shape and not torch.equal(before, val.images)
    with pytest.raises(DataError, match=r"the frame before .* is not kept"):
        data.load(coco_folder(tmp_path / "own")).splits["val"].previous_frames()


def test_statistics_are_of_the_training_images_only(tmp_path: Path) -> None:
    own = data.load(coco_folder(tmp_path / "own"))
    grays = np.array([i for i in range(20) if i % 10 < 8]) / 255  # image i is all of gray value i
    np.testing.assert_allclose(own.mean.numpy(), grays.mean(), rtol=1e-6)
    np.testing.assert_allclose(own.std.numpy(), grays.std(), rtol=1e-5)
    flat = data.channel_statistics(torch.full((2, 1, 3, 3), 51, dtype=torch.uint8))
    assert flat[0].item() == pytest.approx(0.2) and flat[1].item() == 1.0


def test_files_that_are_missing_or_cut_short_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no folder"):
        data.load(tmp_path / "nothing")
    with pytest.raises(DataError, match="has no labels"):
        data.load(tmp_path)
    own = coco_folder(tmp_path / "own")
    picture = own / "images" / "4.png"
    whole = picture.read_bytes()
    for broken in (whole[:40], whole[: len(whole) // 2], b"no picture", b""):
        picture.write_bytes(broken)
        with pytest.raises(DataError, match=r"4\.png is damaged or was cut short"):
            data.load(own)
    Image.fromarray(np.zeros((3, 3, 3), np.uint8)).save(picture)
    with pytest.raises(DataError, match=r"4\.png is 3 x 3, its labels say 8 x 6"):
        data.load(own)
    Image.fromarray(np.zeros((H, W, 3), np.uint8)).save(picture)
    (own / "grammar.json").write_text("{}")
    with pytest.raises(DataError, match=r"grammar\.json has no phrases"):
        data.load(own)
    (own / "grammar.json").write_text(json.dumps({"phrases": {"ball": 5}}))
    with pytest.raises(DataError, match=r"grammar\.json: the phrases of 'ball' are no list of sentences"):
        data.load(own)
    (own / "grammar.json").unlink()
    Image.fromarray(np.full((H, W), 40_000, np.uint16)).save(picture)
    with pytest.raises(DataError, match=r"4\.png has more than 8 bits a channel"):
        data.load(own)
    Image.fromarray(np.zeros((H, W, 3), np.uint8)).save(picture)
    labels = own / "annotations" / "instances.json"
    whole_labels = labels.read_text()
    labels.write_text("[" * 100_000)
    with pytest.raises(DataError, match=r"instances\.json is damaged"):
        data.load(own)
    labels.write_text(whole_labels[:-20])
    with pytest.raises(DataError, match=r"instances\.json is damaged or was cut short"):
        data.load(own)


def test_a_box_lies_on_its_object_in_a_photo_that_was_stored_lying(tmp_path: Path) -> None:
    own = coco_folder(tmp_path / "own")
    scene = np.zeros((H, W, 3), np.uint8)
    scene[2:5, 1:3] = 255  # the cat
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise
    lying = Image.fromarray(scene).transpose(Image.Transpose.ROTATE_90)
    lying.save(own / "images" / "3.png", exif=exif)
    train = data.load(own).splits["train"]
    cat = train.masks(3)[0]
    assert (train.images[3][:, cat] == 255).all() and (train.images[3][:, ~cat] == 0).all()


def test_an_annotation_file_that_cannot_be_read_has_no_digest(tmp_path: Path) -> None:
    own = coco_folder(tmp_path / "own")
    assert len(data.labels_digest(own)) == 12
    (own / "annotations" / "more.json").mkdir()
    with pytest.raises(DataError, match=r"more\.json is not a file"):
        data.labels_digest(own)


def test_more_images_than_memory_holds_are_refused_before_they_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = coco_folder(tmp_path / "own")
    monkeypatch.setattr(data.memory_budget, "free_bytes", lambda device: 1_000)
    with pytest.raises(DataError, match=r"16 images of 8 x 6 need 0\.0 GB of memory, at most 0\.0 GB can be had"):
        data.load(own)


def test_images_are_spread_evenly_over_a_split() -> None:
    train = vision_data.dataset().splits["train"]
    assert train.evenly_spaced(3) == [0, 8, 15] and train.evenly_spaced(0) == []
    assert vision_data.dataset().splits["val"].evenly_spaced(4) == [0, 1]
