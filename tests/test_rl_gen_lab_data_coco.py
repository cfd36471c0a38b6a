"""Annotations in COCO's format: splits, crowds, and what is refused."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from coco_folders import H, W, coco_folder

from rl_gen_lab.data import dataset as data
from rl_gen_lab.data.coco import split_of
from rl_gen_lab.data.labels import Corrections
from rl_gen_lab.data.records import DataError


def test_a_folder_of_somebody_s_own_is_split_and_read(tmp_path: Path) -> None:
    own = data.load(coco_folder(tmp_path / "own"))
    assert own.categories == ("dog", "cat"), "in the order of their ids"
    assert {name: len(split) for name, split in own.splits.items()} == {"train": 16, "val": 2, "test": 2}
    train = own.splits["train"]
    boxes, categories = train.boxes(1)
    assert boxes.tolist() == [[1, 2, 3, 5], [4, 0.5, 7, 4.5]] and categories.tolist() == [1, 0]
    cat, dog = train.masks(1)
    assert torch.nonzero(cat).tolist() == [[y, x] for y in (2, 3, 4) for x in (1, 2)]
    assert torch.nonzero(dog).tolist() == [[y, x] for y in (1, 2, 3, 4) for x in (4, 5, 6)]
    assert train.boxes(0)[0].shape == (1, 4)
    assert own.grammar == {}


def crowd(labels: dict[str, Any], *images: int) -> None:
    for i in images:
        box, mask = [0, 0, W, H], {"counts": [0, H * W], "size": [H, W]}
        thing = {"id": 1_000 + i, "image_id": 100 + i, "category_id": 17, "bbox": box, "segmentation": mask}
        labels["annotations"].append(thing | {"iscrowd": 1})


def test_images_that_show_a_crowd_are_left_out(tmp_path: Path) -> None:
    own = data.load(coco_folder(tmp_path / "own", images=40, change=lambda labels: crowd(labels, 0, 5)))
    assert own.corrections == Corrections(crowded=2)
    labels = [label for split in own.splits.values() for label in split.labels]
    assert sorted(int(label.file.stem) for label in labels) == [i for i in range(40) if i not in (0, 5)]
    assert all(thing.id < 1_000 for label in labels for thing in label.objects)
    assert data.load(coco_folder(tmp_path / "other")).corrections == Corrections()
    with pytest.raises(DataError, match=r"no images for val: .* \(19 images were left out, for they show crowds\)"):
        data.load(coco_folder(tmp_path / "all", change=lambda labels: crowd(labels, *range(1, 20))))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("facts", {"ball": ["up"]}, r"slots\.json: image 103: 'ball' of its facts is \['up'\], not text"),
        ("facts", {"ball": None}, "'ball' of its facts is None, not text"),
        ("slots", {"x": 1.5, "y": [3]}, r"slots\.json: image 103: 'y' of its slots is \[3\], not a number or null"),
        ("slots", {"x": "3"}, "'x' of its slots is '3', not a number or null"),
        ("slots", {"x": 10**400}, r"slots\.json: image 103: 'x' of its slots is 10+\.\.\.0+, not a number or null"),
        ("slots", {"x": True}, "'x' of its slots is True"),
        ("slots", {"x": float("nan")}, "'x' of its slots is nan"),
    ],
)
def test_facts_and_slots_of_another_type_are_named(tmp_path: Path, key: str, value: Any, message: str) -> None:
    own = coco_folder(tmp_path / "own")
    good = {"slots": {"x": 2, "y": None}, "facts": {"ball": "up"}}
    written = [{"image_id": 100 + i} | good for i in range(20)]
    (own / "annotations" / "slots.json").write_text(json.dumps({"annotations": written}))
    assert data.load(own).splits["train"].labels[3].slots == good["slots"]
    written[3] = written[3] | {key: value}
    (own / "annotations" / "slots.json").write_text(json.dumps({"annotations": written}))
    with pytest.raises(DataError, match=message):
        data.load(own)


def test_an_episode_is_never_in_two_splits(tmp_path: Path) -> None:
    def in_threes(labels: dict[str, Any]) -> None:
        for i, image in enumerate(labels["images"]):
            image["episode"] = i // 3

    own = data.load(coco_folder(tmp_path / "own", 60, in_threes))
    episodes = {name: {label.episode for label in split.labels} for name, split in own.splits.items()}
    assert episodes["val"] == {8, 18} and episodes["test"] == {9, 19} and len(episodes["train"]) == 16


def _first(key: str, **values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda labels: labels[key][0].update(values)


def _all(key: str, **values: Any) -> Callable[[dict[str, Any]], None]:
    def change(labels: dict[str, Any]) -> None:
        for record in labels[key]:
            record.update(values)

    return change


BROKEN: list[tuple[Callable[[dict[str, Any]], None], str]] = [
    (
        lambda labels: labels.pop("annotations"),
        r"instances\.json is not in COCO's format: it has no list of annotations",
    ),
    (lambda labels: labels["categories"].append({"id": 99, "name": "yeti"}), "no training image shows a 'yeti'"),
    (_first("annotations", bbox=[float("nan"), 2, 1, 3]), r"annotation 0 has the bbox \[nan, 2, 1, 3\], which is not"),
    (
        _first("annotations", bbox=[1, 2]),
        r"instances\.json: annotation 0 has the bbox \[1, 2\], which is not a list of",
    ),
    (
        _first("annotations", bbox=[1, 2, 10**400, 3]),
        r"annotation 0 has the bbox \[1, 2, 10+\.\.\.0+, 3\], which is not",
    ),
    (
        _first("annotations", bbox={"x": 1}),
        r"annotation 0 has the bbox \{'x': 1\}, which is not a list of four numbers",
    ),
    (_first("annotations", bbox=[5, 2, -3, 3]), r"annotation 0 has the bbox .* whose width or height is negative"),
    (_first("annotations", id=1), r"instances\.json: annotation 1 is listed 2 times"),
    (_first("annotations", id=None), r"annotation 0 \(counted from 0\) has the id None, which is neither a number nor"),
    (lambda labels: labels["annotations"].insert(0, 5), r"annotation 0 \(counted from 0\) is 5, not an object"),
    (lambda labels: labels["annotations"][0].pop("bbox"), r"instances\.json: annotation 0 has no bbox"),
    (_first("annotations", category_id=[17]), r"annotation 0 has the category_id \[17\], which is neither a number"),
    (_first("annotations", segmentation="cat"), r"annotation 0 has the segmentation 'cat', which is neither polygons"),
    (_first("images", episode=[1]), r"image 100 has the episode \[1\], which is neither a number nor text"),
    (_first("images", episode=float("nan")), r"image 100 has the episode nan, which is neither"),
    (_first("images", height="tall"), r"image 100 has the height 'tall', which is no number of pixels"),
    (_first("images", height=0), r"image 100 has the height 0, which is no number of pixels"),
    (_first("images", width=W + 0.5), r"image 100 has the width 8\.5, which is no number of pixels"),
    (
        _first("images", file_name="../../secret.png"),
        r"image 100 names the image \.\./\.\./secret\.png, which is outside",
    ),
    (_first("images", file_name="/etc/hostname"), r"image 100 names the image /etc/hostname, which is outside of"),
    (_first("images", file_name=300 * "x" + ".png"), r"image 100 names the image x+\.\.\.: File name too long"),
    (_first("images", file_name=["0.png"]), r"image 100 has the file_name \['0\.png'\], which is no text of one line"),
    (_first("images", file_name="0.png\0"), r"image 100 has the file_name '0\.png\\x00', which is no text"),
    (_first("images", file_name="\ud800.png"), r"image 100 has the file_name '\\ud800\.png', which is no text"),
    (_first("categories", name="dog"), r"category 17 has the name of category 3, 'dog': rename or merge them"),
    (_first("categories", name="a\nb"), r"category 17 has the name 'a\\nb', which is no text of one line"),
    (_first("categories", id="cat"), r"has an id of another type than others have"),
    (_first("annotations", iscrowd="maybe"), r"instances\.json: iscrowd of annotation 0 is neither 0 nor 1"),
    (_first("annotations", category_id=5), "annotation 0 has the unknown category 5"),
    (_first("annotations", image_id=7), "annotation 0 is of an image that is not listed"),
    (
        _first("annotations", segmentation={"size": [H, W], "counts": [99]}),
        r"0\.png: annotation 0: its run lengths do not",
    ),
    (
        _first("annotations", segmentation={"size": [H, W], "counts": [H, 3]}),
        r"0\.png: annotation 0: its run lengths do not fill",
    ),
    (_first("annotations", segmentation={"size": [H, W]}), r"0\.png: annotation 0: its segmentation has no counts"),
    (
        _first("annotations", segmentation={"size": [H, W], "counts": [7.5, 40.5]}),
        r"0\.png: annotation 0: .* whole numbers",
    ),
    (_first("annotations", segmentation={"size": 5, "counts": [48]}), "annotation 0: its segmentation is not of the"),
    (
        _first("annotations", segmentation=[[1, 2, float("nan"), 4, 5, 6]]),
        r"0\.png: annotation 0: nan in a polygon is not a number",
    ),
    (_all("images", width=10**6, height=10**6), r"0\.png cannot be of 1000000 x 1000000 pixels"),
    (
        lambda labels: labels.update(annotations=[a for a in labels["annotations"] if a["image_id"] % 10 != 8]),
        "own: no val image shows an object",
    ),
    (
        _first("annotations", segmentation={"size": [W, H], "counts": [1]}),
        "annotation 0: its segmentation is not of the",
    ),
    (_first("annotations", segmentation=[[1, 2, 3, 4]]), "annotation 0: a polygon has fewer than three points"),
    (
        _first("annotations", bbox=[0, 0, 1, 1], segmentation={"size": [H, W], "counts": [H * W - 1, 1]}),
        r"0\.png: the mask of annotation 0 lies \d pixels outside its box",
    ),
    (_first("images", file_name="gone.png"), r"names the image gone\.png, which lies in none of"),
    (_first("images", id=101), r"instances\.json: image 101 is listed 2 times"),
    (_first("images", file_name="1.png"), r"1\.png is listed 2 times; an image belongs to one split"),
    (_first("images", id=[]), r"image 0 \(counted from 0\) has the id \[\], which is neither a number nor text"),
    (lambda labels: labels["categories"][0].pop("name"), r"instances\.json: category 17 has no name"),
    (
        lambda labels: labels.update(annotations=[], categories=[]),
        "own names no categories: there is nothing to learn",
    ),
    (_first("categories", id=3), r"instances\.json: category 3 is listed 2 times"),
    (_first("images", width=W + 1), r"1\.png is 8 x 6 and .*0\.png is 9 x 6; all images must be of one size"),
]


@pytest.mark.parametrize(("change", "message"), BROKEN, ids=[message[:40] for _, message in BROKEN])
def test_broken_labels_are_named(tmp_path: Path, change: Callable[[dict[str, Any]], None], message: str) -> None:
    with pytest.raises(DataError, match=message) as raised:
        data.load(coco_folder(tmp_path / "own", change=change))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("stem", "split"),
    [
        *(("instances_latest", "train"), ("instances_interval", "train"), ("constraints", "train")),
        *(("instances_test", "test"), ("instances_test2017", "test"), ("test-dev", "test"), ("My_Test", "test")),
        *(("instances_val2017", "val"), ("validation", "val"), ("instances_eval", "val"), ("instancesVal", "val")),
        *(("instances_train2017", "train"), ("training", "train"), ("instances", "train"), ("contest_val", "val")),
    ],
)
def test_the_split_of_a_file_is_a_whole_word_of_its_name(stem: str, split: str) -> None:
    assert split_of(stem) == split


def test_a_file_whose_name_only_contains_a_split_is_of_train(tmp_path: Path) -> None:
    own = coco_folder(tmp_path / "own")
    (own / "annotations" / "instances.json").rename(own / "annotations" / "instances_latest.json")
    assert len(data.load(own).splits["train"]) == 16


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            '{"images": "\xe4"}'.encode("latin-1"),
            r"instances\.json is damaged or was cut short: 'utf-8' codec can't decode",
        ),
        (b"[" * 100_000, r"instances\.json is damaged or was cut short"),
        (b'{"images": ' + b"9" * 5_000 + b"}", r"instances\.json is damaged or was cut short: Exceeds the limit"),
        (b"[]", r"instances\.json does not hold a JSON object"),
        (None, r"instances\.json is not a file"),
    ],
    ids=["latin-1", "deep", "digits", "list", "pipe"],
)
def test_annotations_that_are_no_json_are_named(tmp_path: Path, content: bytes | None, message: str) -> None:
    own = coco_folder(tmp_path / "own")
    file = own / "annotations" / "instances.json"
    text = file.read_bytes()
    file.write_bytes(b"\xef\xbb\xbf" + text)
    assert len(data.load(own).splits["train"]) == 16, "a byte order mark, as Windows writes it, is no error"
    if content is None:
        file.unlink()
        os.mkfifo(file)
    else:
        file.write_bytes(content)
    with pytest.raises(DataError, match=message) as raised:
        data.load(own)
    assert "\n" not in str(raised.value)


def test_a_folder_whose_name_is_too_long_is_one_line() -> None:
    with pytest.raises(DataError, match=r"cannot read x+: File name too long"):
        data.load(Path(300 * "x"))


def test_too_few_images_to_split_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no images for val"):
        data.load(coco_folder(tmp_path / "own", images=5))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"images": []}, r"captions\.json is not in COCO's format: it has no list of annotations"),
        ({"annotations": [{"image_id": 100, "caption": 5}]}, r"captions\.json: annotation 0 .* 'caption' is .* no str"),
        ({"annotations": [{"caption": "a cat"}]}, r"captions\.json: annotation 0 .* lacks image_id"),
        ({"annotations": ["a cat"]}, r"captions\.json: annotation 0"),
    ],
)
def test_a_broken_file_of_captions_is_named(tmp_path: Path, content: dict[str, Any], message: str) -> None:
    own = coco_folder(tmp_path / "own")
    (own / "annotations" / "captions.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=message):
        data.load(own)
