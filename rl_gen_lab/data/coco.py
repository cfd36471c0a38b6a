"""Annotations of a folder of images in COCO's format, read and checked before anything is trained.

    FOLDER/annotations/instances_train.json (and _val, _test)   images, categories, boxes, masks
    FOLDER/annotations/captions_train.json, slots_train.json    optional: sentences, numbers and facts of each image
    FOLDER/images/...                                           or FOLDER/train/..., FOLDER/train2017/..., FOLDER/...

A missing split is taken from train: whole episodes where images name theirs, else single images. An image that shows a
crowd (`"iscrowd": 1`: objects that were not annotated one by one) is left out: its members would be learned as
background, and a detection of them counted as a false positive.
"""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rl_gen_lab.cli.errors import UserError
from rl_gen_lab.data import masks

SPLITS = ("train", "val", "test")
NOT_ANNOTATIONS = ("dataset.json", "grammar.json")  # written by `envs.scenes` beside its annotations
MAX_PIXELS = 100_000_000  # of an image: more than any camera's, and its masks still fit into memory
MASK_BEYOND_BOX = 2.0  # pixels by which a mask may exceed its box: boxes drawn by hand are not exact
HELD_OUT = {8: "val", 9: "test"}  # of every ten groups of train, where these splits are missing


class DataError(UserError):
    """A dataset is missing, damaged or inconsistent."""


@dataclass(frozen=True)
class ObjectAnnotation:
    """An annotated object. box: x1, y1, x2, y2 [px]; category: from 0; segmentation: as in the file, or None."""

    id: int
    category: int
    box: tuple[float, float, float, float]
    segmentation: Any


@dataclass(frozen=True)
class ImageAnnotation:
    """The annotations of an image. slots, facts: empty where the folder has none; episode: None where it is not named.

    previous: file of the previous frame, where the folder keeps it.
    """

    file: Path
    previous: Path | None
    height: int
    width: int
    episode: Any
    objects: tuple[ObjectAnnotation, ...]
    captions: tuple[str, ...]
    slots: dict[str, float | None]
    facts: dict[str, str]


def read_labels(path: Path) -> tuple[tuple[str, ...], dict[str, list[ImageAnnotation]], int]:
    """Read the names of the K categories, the annotations of each split, and the number of images left out as crowds.

    Raises DataError for a folder that nothing can be learned from.
    """
    if not path.is_dir():
        raise DataError(f"there is no folder {path}")
    files = sorted((path / "annotations").glob("instances*.json")) or sorted(
        set(path.glob("*.json")) - {path / name for name in NOT_ANNOTATIONS}
    )
    if not files:
        raise DataError(f"{path} has no labels: no annotations/instances_*.json in it")
    categories: tuple[str, ...] | None = None
    labels: dict[str, list[ImageAnnotation]] = {name: [] for name in SPLITS}
    crowded = 0
    for file in files:
        split = next((name for name in SPLITS if name in file.stem), "train")
        names, images, left_out = _read_file(path, file)
        if categories is not None and names != categories:
            raise DataError(f"{file} has categories {', '.join(names)}, other files {', '.join(categories)}")
        categories = names
        labels[split] += images
        crowded += left_out
    assert categories is not None
    _hold_out(labels)
    _check(path, categories, labels, crowded)
    return categories, labels, crowded


def _read_file(path: Path, file: Path) -> tuple[tuple[str, ...], list[ImageAnnotation], int]:
    content = read_object(file)
    for key in ("images", "annotations", "categories"):
        if not isinstance(content.get(key), list):
            raise DataError(f"{file} is not in COCO's format: it has no list of {key}")
    try:
        categories = sorted(content["categories"], key=lambda category: category["id"])
        names = tuple(str(category["name"]) for category in categories)
        _refuse_duplicates(file, "category", [category["id"] for category in categories])
        _refuse_duplicates(file, "image", [record["id"] for record in content["images"]])
        index = {category["id"]: i for i, category in enumerate(categories)}
        objects: dict[Any, list[ObjectAnnotation]] = defaultdict(list)
        crowded: set[Any] = set()
        for record in content["annotations"]:
            if record["category_id"] not in index:
                raise DataError(f"{file}: annotation {record['id']} has the unknown category {record['category_id']}")
            if record.get("iscrowd", 0) not in (0, 1):
                raise DataError(f"{file}: iscrowd of annotation {record['id']} is neither 0 nor 1")
            if record.get("iscrowd", 0):
                crowded.add(record["image_id"])
            x, y, w, h = (float(value) for value in record["bbox"])
            box, segmentation = (x, y, x + w, y + h), record.get("segmentation")
            annotation = ObjectAnnotation(record["id"], index[record["category_id"]], box, segmentation)
            objects[record["image_id"]].append(annotation)
        captions = _read_beside(file, "captions", "caption", str)
        slots = _read_beside(file, "slots", "slots", dict, _is_slot)
        facts = _read_beside(file, "slots", "facts", dict, lambda value: isinstance(value, str))
        labels = [
            ImageAnnotation(
                file=_find_image(path, file, record["file_name"]),
                previous=_find_image(path, file, record["before"]) if "before" in record else None,
                height=int(record["height"]),
                width=int(record["width"]),
                episode=record.get("episode"),
                objects=tuple(objects.pop(record["id"], ())),
                captions=tuple(captions[record["id"]]),
                slots=(slots[record["id"]] or [{}])[0],
                facts=(facts[record["id"]] or [{}])[0],
            )
            for record in content["images"]
        ]
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise DataError(f"{file} is not in COCO's format: {type(error).__name__} {error}") from error
    if objects:
        raise DataError(f"{file}: annotation {next(iter(objects.values()))[0].id} is of an image that is not listed")
    kept = [label for label, record in zip(labels, content["images"], strict=True) if record["id"] not in crowded]
    return names, kept, len(labels) - len(kept)


def _refuse_duplicates(file: Path, what: str, ids: list[Any]) -> None:
    for number, times in Counter(ids).items():
        if times > 1:
            raise DataError(f"{file}: {what} {number} is listed {times} times")


def _is_slot(value: Any) -> bool:
    """Return whether the value is a finite number or, where it is not known, None."""
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value))


def _read_beside(
    instances: Path, name: str, key: str, type_: type, is_valid: Callable[[Any], bool] | None = None
) -> dict[Any, list[Any]]:
    """Read the values of a captions or slots file beside an instances file, by image; empty without such a file.

    type_: of a value; is_valid: whether an item of a dictionary is of the right type. Raises DataError.
    """
    values: dict[Any, list[Any]] = defaultdict(list)
    file = instances.with_name(instances.name.replace("instances", name))
    if file == instances or not file.is_file():
        return values
    records = read_object(file).get("annotations")
    if not isinstance(records, list):
        raise DataError(f"{file} is not in COCO's format: it has no list of annotations")
    for i, record in enumerate(records):
        if not isinstance(record, dict) or "image_id" not in record or not isinstance(record.get(key), type_):
            raise DataError(
                f"{file}: annotation {i} (counted from 0) lacks image_id, or {key!r} is missing or no {type_.__name__}"
            )
        for item, value in record[key].items() if is_valid else ():
            if is_valid and not is_valid(value):
                expected = "a number or null" if key == "slots" else "text"
                raise DataError(
                    f"{file}: image {record['image_id']}: {item!r} of its {key} is {value!r}, not {expected}"
                )
        values[record["image_id"]].append(record[key])
    return values


def _find_image(path: Path, labels: Path, name: str) -> Path:
    folders = (path / "images", path / labels.stem.removeprefix("instances_"), path)
    for folder in folders:
        if (folder / name).is_file():
            return folder / name
    raise DataError(f"{labels} names the image {name}, which lies in none of {', '.join(map(str, folders))}")


def _hold_out(labels: dict[str, list[ImageAnnotation]]) -> None:
    """Move groups of train to the splits that are missing; no episode is in two splits."""
    missing = [name for name in ("val", "test") if not labels[name]]
    if not missing:
        return
    groups: dict[Any, int] = {}
    kept: list[ImageAnnotation] = []
    for i, label in enumerate(labels["train"]):
        group = groups.setdefault(i if label.episode is None else ("episode", label.episode), len(groups))
        split = HELD_OUT.get(group % 10, "train")
        (labels[split] if split in missing else kept).append(label)
    labels["train"] = kept


def read_object(file: Path) -> dict[str, Any]:
    """Read a JSON object. Raises DataError naming the file when it is missing or damaged."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"cannot read {file}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file} is damaged or was cut short: {error}") from error
    if not isinstance(content, dict):
        raise DataError(f"{file} does not hold a JSON object")
    return content


# ---- checks


def _check(path: Path, categories: tuple[str, ...], labels: dict[str, list[ImageAnnotation]], crowded: int) -> None:
    images = [label for name in SPLITS for label in labels[name]]
    for name in SPLITS:
        if not labels[name]:
            left = f" ({crowded} images were left out, for they show crowds)" if crowded else ""
            raise DataError(
                f"{path} has no images for {name}: at least ten images or episodes are needed to split{left}"
            )
        if categories and not any(label.objects for label in labels[name]):
            raise DataError(f"{path}: no {name} image shows an object; a model could not be measured")
    if not categories:
        raise DataError(f"{path} names no categories: there is nothing to learn")
    for index, category in enumerate(categories):
        if not any(item.category == index for label in labels["train"] for item in label.objects):
            raise DataError(
                f"{path}: no training image shows a {category!r}; a class without examples cannot be learned"
            )
    for file, times in Counter(label.file for label in images).items():
        if times > 1:
            raise DataError(f"{file} is listed {times} times; an image belongs to one split, once")
    first = images[0]
    for label in images:
        if (label.height, label.width) != (first.height, first.width):
            raise DataError(
                f"{label.file} is {label.width} x {label.height} and {first.file} is {first.width} x {first.height};"
                " all images must be of one size"
            )
    if min(first.height, first.width) < 1 or first.height * first.width > MAX_PIXELS:
        raise DataError(f"{first.file} cannot be of {first.width} x {first.height} pixels, as its labels say")
    for label in images:
        for item in label.objects:
            x1, y1, x2, y2 = item.box
            if not (0 <= x1 < x2 <= label.width and 0 <= y1 < y2 <= label.height):
                raise DataError(
                    f"{label.file}: the box of annotation {item.id} ({x1:g}, {y1:g} to {x2:g}, {y2:g}) is empty or not"
                    f" inside the image of {label.width} x {label.height}"
                )
            if item.segmentation:
                _check_mask(label, item, mask_of(label, item))


def _check_mask(label: ImageAnnotation, item: ObjectAnnotation, mask: np.ndarray) -> None:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        raise DataError(f"{label.file}: the mask of annotation {item.id} is empty")
    x1, y1, x2, y2 = item.box
    beyond = max(x1 - columns[0], y1 - rows[0], columns[-1] + 1 - x2, rows[-1] + 1 - y2)
    if beyond > MASK_BEYOND_BOX:
        raise DataError(f"{label.file}: the mask of annotation {item.id} lies {beyond:g} pixels outside its box")


def mask_of(label: ImageAnnotation, item: ObjectAnnotation) -> np.ndarray:
    """Decode the mask of an object in its image: (H, W) bool. Raises DataError."""
    if not item.segmentation:
        raise DataError(f"{label.file}: annotation {item.id} has no mask")
    try:
        return masks.decode(item.segmentation, label.height, label.width)
    except (ValueError, TypeError) as error:
        raise DataError(f"{label.file}: annotation {item.id}: {error}") from error
