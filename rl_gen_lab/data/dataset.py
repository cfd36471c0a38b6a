"""A folder of labelled images as tensors: what `python -m envs.scenes` writes, or any folder in COCO's format.

`rl_gen_lab.data.coco` says how the folder looks. Everything is read and checked before anything is trained; what is
wrong is one line that names the file or object.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from rl_gen_lab.data.coco import DataError, Label, mask_of, read_labels, read_object

LARGEST_BYTES = 8_000_000_000  # of all images together, in memory


@dataclass(frozen=True)
class Split:
    """images: (N, 3, H, W) uint8 RGB; labels: N of them, in the same order."""

    name: str
    images: Tensor
    labels: tuple[Label, ...]

    def __len__(self) -> int:
        return len(self.labels)

    def spread_out(self, count: int) -> list[int]:
        """Numbers of `count` images, evenly over the split."""
        return [int(i) for i in np.linspace(0, len(self) - 1, min(count, len(self))).round()]

    def boxes(self, index: int) -> tuple[Tensor, Tensor]:
        """Boxes (M, 4) float32, x1 y1 x2 y2 [px], and their categories (M,) int64."""
        things = self.labels[index].things
        boxes = torch.tensor([thing.box for thing in things], dtype=torch.float32).reshape(-1, 4)
        return boxes, torch.tensor([thing.category for thing in things], dtype=torch.int64)

    def masks(self, index: int) -> Tensor:
        """Masks (M, H, W) bool of the objects, in the order of `boxes`. Raises DataError."""
        label = self.labels[index]
        found = np.zeros((len(label.things), label.height, label.width), bool)
        for i, thing in enumerate(label.things):
            found[i] = mask_of(label, thing)
        return torch.from_numpy(found)

    def before(self) -> Tensor:
        """The frames before, (N, 3, H, W) uint8. Raises DataError for a folder that does not keep them."""
        return _read_images(list(self.labels), before=True)

    def semantic(self, index: int) -> Tensor:
        """(H, W) int64: 0 is background, 1 + category elsewhere; of two objects the first in the file is in front."""
        label = self.labels[index]
        canvas = np.zeros((label.height, label.width), np.int64)
        for thing in reversed(label.things):
            canvas[mask_of(label, thing)] = 1 + thing.category
        return torch.from_numpy(canvas)


@dataclass(frozen=True)
class Sizes:
    """Width and height [px] of objects. common: (A, 2), a few that stand for all; largest: (2,), of any of them."""

    common: Tensor
    largest: Tensor


@dataclass(frozen=True)
class Dataset:
    """categories: K names; mean, std: (3,) float32 of the training images, for pixels scaled to [0, 1].

    grammar: phrases of each fact (`rl_gen_lab.data.vocabulary`), empty for folders without. crowded: images
    left out, because they show crowds (`rl_gen_lab.data.coco`). sizes: of the training objects, where these are not
    at hand.
    """

    path: Path
    categories: tuple[str, ...]
    splits: dict[str, Split]
    mean: Tensor
    std: Tensor
    grammar: dict[str, list[str]]
    crowded: int = 0
    sizes: Sizes | None = None

    def absent(self, split: str) -> list[str]:
        """Categories that no image of a split shows."""
        shown = {thing.category for label in self.splits[split].labels for thing in label.things}
        return [name for index, name in enumerate(self.categories) if index not in shown]


def load(path: Path) -> Dataset:
    """Read a dataset folder whole, and check it. Raises DataError."""
    categories, labels, crowded = read_labels(path)
    splits = {name: Split(name, _read_images(found), tuple(found)) for name, found in labels.items()}
    mean, std = statistics(splits["train"].images)
    file = path / "grammar.json"
    grammar = read_object(file).get("phrases") if file.is_file() else {}
    if not isinstance(grammar, dict):
        raise DataError(f"{file} has no phrases")
    for fact, patterns in grammar.items():
        if not isinstance(patterns, list) or not all(isinstance(each, str) and "{}" in each for each in patterns):
            raise DataError(f"{file}: the phrases of {fact!r} are no list of sentences with {{}} in them")
    return Dataset(path, categories, splits, mean, std, grammar, crowded)


def digest(path: Path) -> str:
    """12 hex digits of all that the labels of a dataset folder say: other labels, other digits."""
    found = hashlib.sha256()
    for file in sorted((path / "annotations").glob("*.json")) or sorted(path.glob("*.json")):
        found.update(file.name.encode() + b"\0" + file.read_bytes())
    return found.hexdigest()[:12]


def pixels_digest(dataset: Dataset) -> str:
    """12 hex digits of the pictures themselves: of every pixel, and of the files of the frames before.

    Raises DataError for a file that is gone.
    """
    found = hashlib.sha256()
    for name, split in sorted(dataset.splits.items()):
        found.update(f"{name} {tuple(split.images.shape)}".encode())
        found.update(split.images.contiguous().numpy().data)
        for label in split.labels:
            if label.before is not None:
                try:
                    found.update(label.before.read_bytes())
                except OSError as error:
                    raise DataError(f"cannot read {label.before}: {error.strerror}") from error
    return found.hexdigest()[:12]


def statistics(images: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each channel, (C,) float32, of images (N, C, H, W) uint8 scaled to [0, 1].

    A channel without any variation gets deviation 1, so that dividing by it is safe.
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


def _read_images(labels: list[Label], before: bool = False) -> Tensor:
    height, width = labels[0].height, labels[0].width
    size = len(labels) * 3 * height * width
    if size > LARGEST_BYTES:
        raise DataError(f"{len(labels)} images of {width} x {height} need {size / 1e9:.0f} GB of memory; use fewer")
    images = torch.empty((len(labels), 3, height, width), dtype=torch.uint8)
    for i, label in enumerate(labels):
        file = label.before if before else label.file
        if file is None:
            raise DataError(f"no frame before {label.file} is kept; write the folder with --history")
        images[i] = torch.from_numpy(read_image(file, height, width))
    return images


def read_image(file: Path, height: int, width: int) -> np.ndarray:
    """(3, H, W) uint8 RGB. Raises DataError for a file that is cut short, no image, or of another size."""
    try:
        with Image.open(file) as picture:
            if picture.mode.startswith(("I", "F")):  # which Pillow would cut off at 255
                raise DataError(f"{file} has more than 8 bits a channel; save it with 8")
            pixels = np.asarray(picture.convert("RGB"))
    except (OSError, UnidentifiedImageError, SyntaxError) as error:  # SyntaxError: how Pillow names a broken PNG
        raise DataError(f"{file} is damaged or was cut short: {error}") from error
    if pixels.shape[:2] != (height, width):
        raise DataError(f"{file} is {pixels.shape[1]} x {pixels.shape[0]}, its labels say {width} x {height}")
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))
