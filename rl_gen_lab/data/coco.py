"""Annotations of a folder of images in COCO's format, read and checked before anything is trained.

    FOLDER/annotations/instances_train.json (and _val, _test)   images, categories, boxes, masks
    FOLDER/annotations/captions_train.json, slots_train.json    optional: sentences, numbers and facts of each image
    FOLDER/images/...                                           or FOLDER/train/..., FOLDER/train2017/..., FOLDER/...

The split of a file is told by a word of its name: instances_val2017.json, test-dev.json; train where there is none. A
missing split is taken from train: whole episodes where images name theirs, else single images. An image that shows a
crowd (`"iscrowd": 1`: objects that were not annotated one by one) is left out: its members would be learned as
background, and a detection of them counted as a false positive.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rl_gen_lab.data.images import find_image
from rl_gen_lab.data.labels import (
    SPLITS,
    Corrections,
    ImageAnnotation,
    ObjectAnnotation,
    check_images,
    check_objects,
    correct,
)
from rl_gen_lab.data.records import (
    DataError,
    Record,
    as_number,
    is_printable,
    read_object,
    records,
    refuse_duplicates,
    short,
)

NOT_ANNOTATIONS = ("dataset.json", "grammar.json")  # written by `envs.scenes` beside its annotations
HELD_OUT = {8: "val", 9: "test"}  # of every ten groups of train, where these splits are missing
SPLIT_WORDS = {
    "train": {"train", "training", "trainset", "trainval"},
    "val": {"val", "valid", "validation", "valset", "minival", "eval", "evaluation"},
    "test": {"test", "testing", "testset", "testdev"},
}


def read_labels(path: Path) -> tuple[tuple[str, ...], dict[str, list[ImageAnnotation]], Corrections]:
    """Read the names of the K categories, the annotations of each split, and what was corrected in them.

    Raises DataError for a folder that nothing can be learned from.
    """
    files = label_files(path)
    if not files:
        raise DataError(f"{path} has no labels: no annotations/instances_*.json in it")
    categories: tuple[str, ...] | None = None
    labels: dict[str, list[ImageAnnotation]] = {name: [] for name in SPLITS}
    crowded = empty = clipped = 0
    for file in files:
        names, images, left_out = _read_file(path, file)
        if categories is not None and names != categories:
            raise DataError(f"{file} has categories {', '.join(names)}, other files {', '.join(categories)}")
        categories = names
        labels[split_of(file.stem)] += images
        crowded += left_out
    assert categories is not None
    _hold_out(labels)
    check_images(path, labels, crowded)
    for name in SPLITS:
        labels[name], corrections = correct(labels[name])
        empty, clipped = empty + corrections.empty, clipped + corrections.clipped
    check_objects(path, categories, labels)
    return categories, labels, Corrections(crowded, empty, clipped)


def label_files(path: Path) -> list[Path]:
    """Return the files with the annotations of a folder, in the order of their names. Raises DataError."""
    try:
        if not path.is_dir():
            raise DataError(f"there is no folder {path}")
    except OSError as error:  # a name that is too long, a folder that is locked
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    return sorted((path / "annotations").glob("instances*.json")) or sorted(
        set(path.glob("*.json")) - {path / name for name in NOT_ANNOTATIONS}
    )


def split_of(stem: str) -> str:
    """Infer the split from a whole word of the file name: the first of train, val, test; train without one.

    >>> split_of("instances_val2017"), split_of("instances_latest"), split_of("Test-Dev"), split_of("interval")
    ('val', 'train', 'test', 'train')
    """
    words = {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+", stem)}
    return next((split for split, names in SPLIT_WORDS.items() if names & words), "train")


def _read_file(path: Path, file: Path) -> tuple[tuple[str, ...], list[ImageAnnotation], int]:
    content = read_object(file)
    images, annotations = records(file, content, "images"), records(file, content, "annotations")
    index, names = _read_categories(records(file, content, "categories"))
    refuse_duplicates(images)
    refuse_duplicates(annotations)
    objects: dict[Any, list[ObjectAnnotation]] = {image.content["id"]: [] for image in images}
    crowded: set[Any] = set()
    for record in annotations:
        category, image = record.id("category_id"), record.id("image_id")
        if category not in index:
            raise record.error(f"has the unknown category {short(category)}")
        if image not in objects:
            raise record.error("is of an image that is not listed")
        if record.content.get("iscrowd", 0) not in (0, 1):
            raise DataError(f"{file}: iscrowd of {record.what} is neither 0 nor 1")
        if record.content.get("iscrowd", 0):
            crowded.add(image)
        annotation = ObjectAnnotation(record.content["id"], index[category], record.box("bbox"), _segmentation(record))
        objects[image].append(annotation)
    captions = _read_beside(file, "captions", "caption", str)
    slots = _read_beside(file, "slots", "slots", dict, lambda value: value is None or _is_number(value))
    facts = _read_beside(file, "slots", "facts", dict, lambda value: isinstance(value, str) and is_printable(value))
    places = (path / "images", path / file.stem.removeprefix("instances_"), path)
    labels = [
        ImageAnnotation(
            file=find_image(path, places, record.text("file_name"), record.error),
            previous=find_image(path, places, record.text("before"), record.error)
            if record.content.get("before") is not None
            else None,
            height=record.side("height"),
            width=record.side("width"),
            episode=None if record.content.get("episode") is None else record.id("episode"),
            objects=tuple(objects[record.content["id"]]),
            captions=tuple(captions[record.content["id"]]),
            slots=(slots[record.content["id"]] or [{}])[0],
            facts=(facts[record.content["id"]] or [{}])[0],
        )
        for record in images
    ]
    kept = [label for label, record in zip(labels, images, strict=True) if record.content["id"] not in crowded]
    return names, kept, len(labels) - len(kept)


def _read_categories(entries: list[Record]) -> tuple[dict[Any, int], tuple[str, ...]]:
    """Return the index of each category's id, in the order of the ids, and the names.

    Two of one name are refused: they would share their metrics, and a model would be asked to tell them apart.
    """
    refuse_duplicates(entries)
    if len({isinstance(entry.content["id"], str) for entry in entries}) > 1:
        raise entries[0].error("has an id of another type than others have: either all are numbers, or all are text")
    entries = sorted(entries, key=lambda entry: entry.content["id"])
    ids: dict[str, Any] = {}
    for entry in entries:
        name, id_ = entry.text("name"), entry.content["id"]
        if name in ids:
            raise entry.error(f"has the name of category {short(ids[name])}, {short(name)}: rename or merge them")
        ids[name] = id_
    return {id_: index for index, id_ in enumerate(ids.values())}, tuple(ids)


def _segmentation(record: Record) -> Any:
    """Return the mask of an annotation as it is written; None without one: some tools write [], others [[]]."""
    value = record.content.get("segmentation")
    if value is not None and not isinstance(value, list | dict):
        raise record.error(f"has the segmentation {short(value)}, which is neither polygons nor run lengths")
    return [part for part in value if part != []] or None if isinstance(value, list) else value


def _is_number(value: Any) -> bool:
    return not isinstance(value, str) and as_number(value) is not None


def _read_beside(
    instances: Path, name: str, key: str, type_: type, is_valid: Callable[[Any], bool] | None = None
) -> dict[Any, list[Any]]:
    """Read the values of a captions or slots file beside an instances file, by image; empty without such a file.

    type_: of a value; is_valid: whether an item of a dictionary is of the right type. Raises DataError.
    """
    values: dict[Any, list[Any]] = defaultdict(list)
    file = instances.with_name(instances.name.replace("instances", name))
    if file == instances or not file.exists():
        return values
    for i, record in enumerate(records(file, read_object(file), "annotations")):
        value: Any = record.content.get(key)
        if "image_id" not in record.content or not isinstance(value, type_):
            raise DataError(
                f"{file}: annotation {i} (counted from 0) lacks image_id, or {key!r} is missing or no {type_.__name__}"
            )
        image = record.id("image_id")
        if isinstance(value, str) and not is_printable("".join(value.split())):
            raise DataError(f"{file}: image {short(image)}: its {key} {short(value)} has characters that are no text")
        for item, part in value.items() if isinstance(value, dict) else ():
            if is_valid and not is_valid(part):
                expected = "a number or null" if key == "slots" else "text"
                raise DataError(f"{file}: image {short(image)}: {item!r} of its {key} is {short(part)}, not {expected}")
        values[image].append(value)
    return values


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
