"""A folder of annotated images as tensors: written by `python -m envs.scenes`, or any folder in COCO's format.

`rl_gen_lab.data.coco` describes the folder. Everything is read and checked before anything is trained; an error is one
line that names the file or the object.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rl_gen_lab.compute import memory_budget
from rl_gen_lab.data import shipped
from rl_gen_lab.data.coco import read_labels
from rl_gen_lab.data.images import read_image
from rl_gen_lab.data.labels import Corrections, ImageAnnotation, mask_of
from rl_gen_lab.data.records import DataError, read_bytes, read_object

LONGEST_NAME = 200  # bytes of an image's name in that of another file; file systems allow 255 altogether
MAX_BYTES = 8_000_000_000  # of all images together, in memory


@dataclass(frozen=True)
class Split:
    """A part of a dataset. images: (N, 3, H, W) uint8 RGB; labels: N annotations, in the same order."""

    name: str
    images: Tensor
    labels: tuple[ImageAnnotation, ...]

    def __len__(self) -> int:
        return len(self.labels)

    def evenly_spaced(self, count: int) -> list[int]:
        """Return the indices of `count` images, evenly spaced over the split."""
        return [int(i) for i in np.linspace(0, len(self) - 1, min(count, len(self))).round()]

    def name_of(self, index: int) -> str:
        """Return a name for files about an image: that of its own file, with its index where that is not enough."""
        stem = self.labels[index].file.stem
        if len(os.fsencode(stem)) <= LONGEST_NAME and sum(label.file.stem == stem for label in self.labels) == 1:
            return stem
        return f"{os.fsencode(stem)[:LONGEST_NAME].decode(errors='ignore')}_{index}"

    def boxes(self, index: int) -> tuple[Tensor, Tensor]:
        """Return the boxes (M, 4) float32, x1 y1 x2 y2 [px], of an image and their categories (M,) int64."""
        objects = self.labels[index].objects
        boxes = torch.tensor([item.box for item in objects], dtype=torch.float32).reshape(-1, 4)
        return boxes, torch.tensor([item.category for item in objects], dtype=torch.int64)

    def masks(self, index: int) -> Tensor:
        """Return the masks (M, H, W) bool of the objects, in the order of `boxes`. Raises DataError."""
        label = self.labels[index]
        masks = np.zeros((len(label.objects), label.height, label.width), bool)
        for i, item in enumerate(label.objects):
            masks[i] = mask_of(label, item)
        return torch.from_numpy(masks)

    def previous_frames(self) -> Tensor:
        """Read the previous frames, (N, 3, H, W) uint8. Raises DataError for a folder that does not keep them."""
        return _read_images(list(self.labels), previous=True)

    def semantic(self, index: int) -> Tensor:
        """Return the class of each pixel, (H, W) int64: 0 is background, else 1 + category.

        Where objects overlap, the first in the file is in front.
        """
        label = self.labels[index]
        canvas = np.zeros((label.height, label.width), np.int64)
        for item in reversed(label.objects):
            canvas[mask_of(label, item)] = 1 + item.category
        return torch.from_numpy(canvas)


@dataclass(frozen=True)
class ObjectSizes:
    """Widths and heights [px] of objects. common: (A, 2), a few typical ones; largest: (2,), the maxima."""

    common: Tensor
    largest: Tensor


@dataclass(frozen=True)
class Dataset:
    """A folder of annotated images. categories: K names.

    mean, std: (3,) float32 of the training images, for pixels scaled to [0, 1]. grammar: phrases of each fact
    (`rl_gen_lab.data.vocabulary`), empty for folders without. corrections: what was not taken as it stands in the
    files. sizes, colors: of the training objects and of the training images (K, 3), where these are not available.
    """

    path: Path
    categories: tuple[str, ...]
    splits: dict[str, Split]
    mean: Tensor
    std: Tensor
    grammar: dict[str, list[str]]
    corrections: Corrections = field(default_factory=Corrections)
    sizes: ObjectSizes | None = None
    colors: Tensor | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Channels, height and width of the images."""
        return tuple(self.splits["train"].images.shape[1:])

    @property
    def metadata(self) -> dict[str, Any]:
        """What is kept with a run, beside its configuration."""
        images = {name: len(split) for name, split in self.splits.items()}
        return {"categories": list(self.categories), "images": images, "image_size": list(self.shape[1:])}

    def describe(self) -> list[str]:
        """Return sentences about what is in the images, and what is not."""
        absent = [
            f"no {name} image shows {' or '.join(categories)}: {name} says nothing about it"
            for name in ("val", "test")
            if (categories := self.absent_categories(name))
        ]
        return [*absent, *self.corrections.describe()]

    def digest(self) -> str:
        """As `labels_digest`."""
        return labels_digest(self.path)

    def pixels_digest(self) -> str:
        """As the function."""
        return pixels_digest(self)

    def with_share(self, share: float) -> Dataset:
        """Return the same with a share of the training images, spread evenly over them; at least one."""
        train = self.splits["train"]
        if share == 1:
            return self
        chosen = train.evenly_spaced(max(round(share * len(train)), 1))
        part = Split("train", train.images[chosen], tuple(train.labels[i] for i in chosen))
        return replace(self, splits=self.splits | {"train": part})

    def absent_categories(self, split: str) -> list[str]:
        """Return the categories that no image of a split shows."""
        shown = {item.category for label in self.splits[split].labels for item in label.objects}
        return [name for index, name in enumerate(self.categories) if index not in shown]


def load(path: Path) -> Dataset:
    """Read a dataset folder, or the pictures of a package (`shipped`), into memory and check it. Raises DataError."""
    if shipped.is_shipped(path):
        return _load_shipped(path)
    categories, labels, corrections = read_labels(path)
    splits = {name: Split(name, _read_images(part), tuple(part)) for name, part in labels.items()}
    mean, std = channel_statistics(splits["train"].images)
    file = path / "grammar.json"
    grammar = read_object(file).get("phrases") if file.is_file() else {}
    if not isinstance(grammar, dict):
        raise DataError(f"{file} has no phrases")
    for fact, patterns in grammar.items():
        if not isinstance(patterns, list) or not all(isinstance(text, str) and "{}" in text for text in patterns):
            raise DataError(f"{file}: the phrases of {fact!r} are no list of sentences with {{}} in them")
    return Dataset(path, categories, splits, mean, std, grammar, corrections)


def _load_shipped(path: Path) -> Dataset:
    found = shipped.read(path)
    splits = {}
    for name, gray in found.images.items():
        images = torch.from_numpy(gray)[:, None].expand(-1, 3, -1, -1).contiguous()
        splits[name] = Split(name, images, tuple(found.labels[name]))
    return Dataset(path, found.categories, splits, *channel_statistics(splits["train"].images), {})


def labels_digest(path: Path) -> str:
    """Hash the annotation files of a dataset folder: 12 hex digits. Raises DataError for one that cannot be read."""
    if shipped.is_shipped(path):
        return shipped.digest(path)
    hashed = hashlib.sha256()
    for file in sorted((path / "annotations").glob("*.json")) or sorted(path.glob("*.json")):
        hashed.update(os.fsencode(file.name) + b"\0" + read_bytes(file))
    return hashed.hexdigest()[:12]


def pixels_digest(dataset: Dataset) -> str:
    """Hash the images themselves, every pixel and the files of the previous frames: 12 hex digits.

    Raises DataError for a file that is gone.
    """
    hashed = hashlib.sha256()
    for name, split in sorted(dataset.splits.items()):
        hashed.update(f"{name} {tuple(split.images.shape)}".encode())
        hashed.update(split.images.contiguous().numpy().data)
        for label in split.labels:
            if label.previous is not None:
                hashed.update(read_bytes(label.previous))
    return hashed.hexdigest()[:12]


def channel_statistics(images: Tensor) -> tuple[Tensor, Tensor]:
    """Compute mean and standard deviation of each channel, (C,) float32, of images (N, C, H, W) uint8 in [0, 1].

    A constant channel gets standard deviation 1, so that dividing by it is safe.
    """
    total, squares = torch.zeros(images.shape[1]).double(), torch.zeros(images.shape[1]).double()
    for image in images:  # one at a time: a float copy of all of them would be four times as large
        scaled = image.double() / 255
        total += scaled.sum((1, 2))
        squares += scaled.square().sum((1, 2))
    count = images.shape[0] * images.shape[2] * images.shape[3]
    mean = total / count
    std = (squares / count - mean.square()).clamp(min=0).sqrt()
    return mean.float(), torch.where(std < 1e-6, 1.0, std).float()


def _read_images(labels: list[ImageAnnotation], previous: bool = False) -> Tensor:
    height, width = labels[0].height, labels[0].width
    size = len(labels) * 3 * height * width
    free = memory_budget.USABLE_SHARE * memory_budget.free_bytes(torch.device("cpu"))
    if size > min(MAX_BYTES, free):
        need = f"{len(labels)} images of {width} x {height} need {size / 1e9:.1f} GB of memory"
        raise DataError(f"{need}, at most {min(MAX_BYTES, free) / 1e9:.1f} GB can be had; use fewer or smaller ones")
    images = torch.empty((len(labels), 3, height, width), dtype=torch.uint8)
    for i, label in enumerate(labels):
        file = label.previous if previous else label.file
        if file is None:
            raise DataError(f"the frame before {label.file} is not kept; write the folder with --history")
        images[i] = torch.from_numpy(read_image(file, height, width))
    return images
