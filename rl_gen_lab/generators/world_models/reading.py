"""Where the objects of a picture are, read from its pixels by what the labels of training images show.

A pixel that has a color which it never has without an object belongs to an object of that color; connected pixels of
one color are one object, of the category whose objects have that color, this place (columns or rows, where they have
few) and most nearly this size. Pictures are judged leniently: an object may be drawn in part.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np

from rl_gen_lab.data.dataset import Split
from rl_gen_lab.data.records import DataError
from rl_gen_lab.generators.palette import Palette
from rl_gen_lab.generators.proof import parts_of

LEAST_SHARE = 0.25  # of the pixels of a category's objects, below which a part is no object
FEW_PLACES = 3  # columns or rows that all objects of a category share


@dataclass(frozen=True)
class Kind:
    """What the objects of a category look like. colors: numbers; places: lefts and tops, None where there are many."""

    colors: frozenset[int]
    pixels: float
    lefts: frozenset[int] | None
    tops: frozenset[int] | None


class ObjectReader:
    """Reads frames of one game, as numbers of a palette's colors."""

    def __init__(self, split: Split, palette: Palette, categories: tuple[str, ...], most_images: int = 2_000) -> None:
        """split: labeled images with masks, of training. Raises: DataError where no image shows an object."""
        self.categories = categories
        height, width = split.images.shape[2:]
        self.free = np.zeros((len(palette) + 1, height, width), bool)  # colors of each pixel where no object is
        self.covered = np.zeros((height, width), bool)
        colors: list[Counter[int]] = [Counter() for _ in categories]
        sizes: list[list[int]] = [[] for _ in categories]
        places: list[tuple[set[int], set[int]]] = [(set(), set()) for _ in categories]
        for index in split.evenly_spaced(most_images):
            numbers = palette.index(split.images[index : index + 1])[0].numpy()
            objects = np.zeros((height, width), bool)
            labels = split.boxes(index)[1].tolist()
            for mask, category in zip(split.masks(index).numpy(), labels, strict=True):
                if not mask.any():
                    continue
                objects |= mask
                colors[category].update(numbers[mask].tolist())
                sizes[category].append(int(mask.sum()))
                rows, columns = np.nonzero(mask)
                places[category][0].add(int(columns.min()))
                places[category][1].add(int(rows.min()))
            self.covered |= objects
            np.put_along_axis(
                self.free, numbers[None], ~objects[None] | np.take_along_axis(self.free, numbers[None], 0), 0
            )
        if not self.covered.any():
            raise DataError("no training image shows an object with a mask: objects cannot be read")
        self.kinds = [
            None
            if not sizes[k]
            else Kind(
                frozenset(color for color, count in colors[k].items() if count > 0.1 * colors[k].total()),
                float(np.median(sizes[k])),
                _few(places[k][0]),
                _few(places[k][1]),
            )
            for k in range(len(categories))
        ]

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
