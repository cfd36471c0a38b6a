"""Whether a picture could be a frame of the game: every pixel explained, every object whole and there at most as often.

What explains a pixel is learned from the labels of the training images: the colors that it shows where no object is,
and the shapes, colors and columns of the objects. The share of real held-out images that it accepts is its control.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from rl_gen_lab.data.dataset import Split
from rl_gen_lab.generators.palette import Palette

FEW_COLUMNS = 3  # an object seen at no more different columns belongs to them, like a paddle that moves up and down
Shape = tuple[int, int, bytes]  # height, width, mask


@dataclass(frozen=True)
class Verdict:
    """Of several images. objects: mean number of each category in the valid ones; problems: counted."""

    valid_share: float
    objects: dict[str, float]
    problems: Counter[str]


class FrameProof:
    """The proof for the images of a folder with masks."""

    def __init__(self, split: Split, palette: Palette, categories: tuple[str, ...]) -> None:
        """split: of training. Raises: DataError where objects have no masks."""
        self.palette, self.categories = palette, categories
        height, width = split.images.shape[2:]
        self.seen = np.zeros((len(palette) + 1, height, width), bool)
        self.shapes: dict[tuple[int, Shape], set[int]] = {}  # color and shape -> categories
        columns: list[set[int]] = [set() for _ in categories]
        self.most = Counter[int]()
        for index in range(len(split)):
            numbers = palette.index(split.images[index : index + 1])[0].numpy()
            covered = np.zeros((height, width), bool)
            labels = split.boxes(index)[1].tolist()
            for mask, category in zip(split.masks(index).numpy(), labels, strict=True):
                covered |= mask
                for color, left, shape in _parts(mask, numbers):
                    self.shapes.setdefault((color, shape), set()).add(category)
                    columns[category].add(left)
            for color in range(len(palette)):
                self.seen[color] |= (numbers == color) & ~covered
            for category, count in Counter(labels).items():
                self.most[category] = max(self.most[category], count)
        self.columns = [found if len(found) <= FEW_COLUMNS else None for found in columns]

    def examine(self, image: Tensor) -> tuple[str | None, Counter[int]]:
        """Return what is wrong with an image (3, H, W) uint8, None where nothing is, and its objects by category."""
        numbers = self.palette.index(image[None])[0].numpy()
        unexplained = ~np.take_along_axis(self.seen, numbers[None], 0)[0]
        count = Counter[int]()
        for color, left, shape in _parts(unexplained, numbers):
            fits = [
                category
                for category in sorted(self.shapes.get((color, shape), ()))
                if (columns := self.columns[category]) is None or left in columns
            ]
            free = [category for category in fits if count[category] < self.most[category]]
            if not fits:
                return f"a part of {shape[0]} x {shape[1]} pixels that no object has", count
            if not free:
                return f"too many of {self.categories[fits[0]]}", count
            count[free[0]] += 1
        return None, count

    def judge(self, images: Tensor, on_image: Callable[[int], None] = lambda done: None) -> Verdict:
        """Examine images (N, 3, H, W) uint8, N >= 1."""
        problems, total, valid = Counter[str](), Counter[int](), 0
        for done, image in enumerate(images, 1):
            problem, objects = self.examine(image)
            if problem is None:
                valid, total = valid + 1, total + objects
            else:
                problems[problem] += 1
            on_image(done)
        means = {name: total[category] / max(valid, 1) for category, name in enumerate(self.categories)}
        return Verdict(valid / len(images), means, problems)


def _parts(mask: np.ndarray, numbers: np.ndarray) -> list[tuple[int, int, Shape]]:
    """Return the parts of a mask as `parts_of`: color, left column and shape of each."""
    return [
        (color, left, (*shape.shape, np.packbits(shape).tobytes())) for color, left, _, shape in parts_of(mask, numbers)
    ]


def parts_of(mask: np.ndarray, numbers: np.ndarray) -> list[tuple[int, int, int, np.ndarray]]:
    """Return the connected parts of one color of a mask (H, W): color, left column, top row, shape (h, w) bool of each.

    Pixels that touch at a corner are connected.
    """
    waiting = set(zip(*(axis.tolist() for axis in np.nonzero(mask)), strict=True))
    parts = []
    while waiting:
        first = min(waiting)
        waiting.remove(first)
        color, part, border = int(numbers[first]), [first], [first]
        while border:
            y, x = border.pop()
            around = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & waiting
            same = [place for place in around if numbers[place] == color]
            waiting.difference_update(same)
            part += same
            border += same
        rows, columns = np.array(part).T
        top, left = int(rows.min()), int(columns.min())
        shape = np.zeros((int(rows.max()) - top + 1, int(columns.max()) - left + 1), bool)
        shape[rows - top, columns - left] = True
        parts.append((color, left, top, shape))
    return parts


def make_proof(split: Split, palette: Palette, categories: tuple[str, ...]) -> FrameProof | None:
    """Make a proof, None for folders whose images show no objects."""
    shown = any(label.objects for label in split.labels)
    return FrameProof(split, palette, categories) if shown else None
