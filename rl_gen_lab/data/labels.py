"""Image annotations and the checks before training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from rl_gen_lab.data import boxes, masks
from rl_gen_lab.data.records import DataError

SPLITS = ("train", "val", "test")
MAX_PIXELS = 100_000_000  # of an image: more than any camera's, and its masks still fit into memory
MASK_BEYOND_BOX = 2.0  # pixels by which a mask may exceed its box: boxes drawn by hand are not exact


@dataclass(frozen=True)
class ObjectAnnotation:
    """An annotated object. box: x1, y1, x2, y2 [px]; category: from 0; segmentation: as in the file, or None."""

    id: Any
    category: int
    box: boxes.Box
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


@dataclass(frozen=True)
class Corrections:
    """Counts of corrected and dropped annotations.

    crowded: images left out, for they show crowds; empty: objects left out, whose box or mask covers nothing of the
    image; clipped: boxes cut off at the borders of their image.
    """

    crowded: int = 0
    empty: int = 0
    clipped: int = 0

    def describe(self) -> list[str]:
        """Return a sentence for each kind of correction that was made."""
        sentences = []
        if self.crowded:
            sentences.append(f"left out, for they show crowds (iscrowd): {self.crowded:,} images")
        if self.empty:
            sentences.append(f"left out, for their box or mask covers nothing of the image: {self.empty:,} objects")
        if self.clipped:
            sentences.append(f"cut off at the borders of their image: {self.clipped:,} boxes")
        return sentences


def mask_of(label: ImageAnnotation, item: ObjectAnnotation) -> np.ndarray:
    """Decode the mask of an object in its image: (H, W) bool. Raises DataError."""
    if not item.segmentation:
        raise DataError(f"{label.file}: annotation {item.id} has no mask")
    try:
        return masks.decode(item.segmentation, label.height, label.width)
    except (ValueError, TypeError) as error:
        raise DataError(f"{label.file}: annotation {item.id}: {error}") from error


# ---- checks


def check_images(path: Path, labels: Mapping[str, Sequence[ImageAnnotation]], crowded: int) -> None:
    """Raise DataError unless every split has images, all are of one size, and none is listed twice."""
    for name in SPLITS:
        if not labels[name]:
            left = f" ({crowded} images were left out, for they show crowds)" if crowded else ""
            raise DataError(
                f"{path} has no images for {name}: at least ten images or episodes are needed to split{left}"
            )
    images = [label for name in SPLITS for label in labels[name]]
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
    if first.height * first.width > MAX_PIXELS:
        raise DataError(f"{first.file} cannot be of {first.width} x {first.height} pixels, as its labels say")
    written = [item.box for label in images for item in label.objects]
    if format_ := boxes.other_format(written, first.width, first.height):
        raise DataError(f"{path}: its boxes seem to be {format_}; write them as x, y, width, height in pixels")


def correct(labels: Sequence[ImageAnnotation]) -> tuple[list[ImageAnnotation], Corrections]:
    """Clip the boxes of images to these, and leave out objects of which nothing is seen. Raises DataError for a mask
    that is none, or that lies outside of its box.

    A single slip of a hand is no reason to refuse a folder: Detectron2 leaves out the same objects
    (`filter_empty_instances`).
    """
    corrected, empty, clipped = [], 0, 0
    for label in labels:
        kept = []
        for item in label.objects:
            box = boxes.clip(item.box, label.width, label.height)
            if box is None or (item.segmentation and not _check_mask(label, item, box)):
                empty += 1
                continue
            clipped += box != item.box
            kept.append(item if box == item.box else replace(item, box=box))
        corrected.append(replace(label, objects=tuple(kept)))
    return corrected, Corrections(empty=empty, clipped=clipped)


def _check_mask(label: ImageAnnotation, item: ObjectAnnotation, box: boxes.Box) -> bool:
    """Return whether the mask of an object has a pixel. Raises DataError."""
    mask = mask_of(label, item)
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return False
    x1, y1, x2, y2 = box
    beyond = max(x1 - columns[0], y1 - rows[0], columns[-1] + 1 - x2, rows[-1] + 1 - y2)
    if beyond > MASK_BEYOND_BOX:
        raise DataError(f"{label.file}: the mask of annotation {item.id} lies {beyond:g} pixels outside its box")
    return True


def check_objects(path: Path, categories: Sequence[str], labels: Mapping[str, Sequence[ImageAnnotation]]) -> None:
    """Raise DataError unless every split shows objects, and train those of every category."""
    if not categories:
        raise DataError(f"{path} names no categories: there is nothing to learn")
    for name in SPLITS:
        if not any(label.objects for label in labels[name]):
            raise DataError(f"{path}: no {name} image shows an object; a model could not be measured")
    shown = {item.category for label in labels["train"] for item in label.objects}
    for index, category in enumerate(categories):
        if index not in shown:
            raise DataError(
                f"{path}: no training image shows a {category!r}; a class without examples cannot be learned"
            )
