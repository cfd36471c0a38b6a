"""Where the objects of a picture are, read from its pixels by what the labels of training images show.

A pixel that has a color which it never has without an object belongs to an object of that color; connected pixels of
one color are one object, of the category whose objects have that color, this place (columns or rows, where they have
few) and most nearly this size. Pictures are judged leniently: an object may be drawn in part.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from rl_gen_lab.data.dataset import Split
from rl_gen_lab.data.records import DataError
from rl_gen_lab.generators.palette import Palette
from rl_gen_lab.generators.proof import parts_of

LEAST_SHARE = 0.25  # of the pixels of a category's objects, below which a part is no object
RARE_SHARE = 0.1  # of a category's pixels, up to which a color is not its own
FEW_PLACES = 3  # columns or rows that all objects of a category share
LabeledFrame = tuple[np.ndarray, list[tuple[int, np.ndarray]]]  # numbers (H, W); category and mask (H, W) of each


@dataclass(frozen=True)
class Kind:
    """What the objects of a category look like. colors: numbers; places: lefts and tops, None where there are many."""

    colors: frozenset[int]
    pixels: float
    lefts: frozenset[int] | None
    tops: frozenset[int] | None


@dataclass
class Seen:
    """What labels have shown of a category."""

    colors: Counter[int] = field(default_factory=Counter)
    sizes: list[int] = field(default_factory=list)
    lefts: set[int] = field(default_factory=set)
    tops: set[int] = field(default_factory=set)

    def add(self, numbers: np.ndarray, mask: np.ndarray) -> None:
        """Count an object."""
        rows, columns = np.nonzero(mask)
        self.colors.update(numbers[mask].tolist())
        self.sizes.append(len(rows))
        self.lefts.add(int(columns.min()))
        self.tops.add(int(rows.min()))

    def kind(self) -> Kind:
        """Sum up."""
        common = frozenset(color for color, count in self.colors.items() if count > RARE_SHARE * self.colors.total())
        return Kind(common, float(np.median(self.sizes)), _few(self.lefts), _few(self.tops))


def labeled_frames(split: Split, palette: Palette, most: int = 2_000) -> Iterator[LabeledFrame]:
    """Yield at most so many labeled images of a split, evenly spaced."""
    for index in split.evenly_spaced(most):
        numbers = palette.index(split.images[index : index + 1])[0].numpy()
        yield numbers, list(zip(split.boxes(index)[1].tolist(), split.masks(index).numpy(), strict=True))


class ObjectReader:
    """Reads frames of one game, as numbers of a palette's colors."""

    def __init__(self, frames: Iterable[LabeledFrame], colors: int, categories: tuple[str, ...]) -> None:
        """colors: of the palette, others not counted. Raises: DataError where no frame shows an object."""
        self.categories = categories
        seen = [Seen() for _ in categories]
        self.free = self.covered = np.zeros((0, 0), bool)
        for numbers, objects in frames:
            if not self.covered.size:
                self.free = np.zeros((colors + 1, *numbers.shape), bool)  # colors of each pixel where no object is
                self.covered = np.zeros(numbers.shape, bool)
            taken = np.zeros(numbers.shape, bool)
            for category, mask in objects:
                if mask.any():
                    taken |= mask
                    seen[category].add(numbers, mask)
            self.covered |= taken
            free = ~taken[None] | np.take_along_axis(self.free, numbers[None], 0)
            np.put_along_axis(self.free, numbers[None], free, 0)
        if not self.covered.any():
            raise DataError("no training image shows an object with a mask: objects cannot be read")
        self.kinds = [None if not one.sizes else one.kind() for one in seen]

    def read(self, numbers: np.ndarray) -> dict[str, list[tuple[float, float]]]:
        """numbers: (H, W) integers -> the centers (x, y) [px] of the objects of each category, the largest first."""
        belongs = ~np.take_along_axis(self.free, numbers[None].astype(np.int64), 0)[0]
        found: dict[str, list[tuple[int, float, float]]] = {name: [] for name in self.categories}
        for color, left, top, shape in parts_of(belongs, numbers):
            pixels = int(shape.sum())
            if (category := self._category(color, left, top, pixels)) is not None:
                center = left + (shape.shape[1] - 1) / 2, top + (shape.shape[0] - 1) / 2
                found[self.categories[category]].append((pixels, *center))
        return {name: [(x, y) for _, x, y in sorted(parts, reverse=True)] for name, parts in found.items()}

    def _category(self, color: int, left: int, top: int, pixels: int) -> int | None:
        fits = [
            (abs(math.log(pixels / kind.pixels)), number)
            for number, kind in enumerate(self.kinds)
            if kind is not None
            and color in kind.colors
            and pixels >= LEAST_SHARE * kind.pixels
            and (kind.lefts is None or left in kind.lefts)
            and (kind.tops is None or top in kind.tops)
        ]
        return min(fits)[1] if fits else None


def _few(places: set[int]) -> frozenset[int] | None:
    return frozenset(places) if len(places) <= FEW_PLACES else None
