"""Objects read from Pong's own frames lie where the emulator says."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from transition_folders import pong_transitions

from rl_gen_lab.data import dataset
from rl_gen_lab.data.dataset import Dataset
from rl_gen_lab.data.records import DataError
from rl_gen_lab.generators.palette import Palette, colors_of
from rl_gen_lab.generators.world_models.reading import ObjectReader, labeled_frames


@functools.cache
def pong() -> tuple[Dataset, Palette, ObjectReader]:
    data = dataset.load(pong_transitions())
    palette = Palette(colors_of(data.splits["train"].images))
    return data, palette, ObjectReader(labeled_frames(data.splits["train"], palette), len(palette), data.categories)


def test_every_object_is_read_where_its_label_is() -> None:
    data, palette, reader = pong()
    split, near = data.splits["train"], 0
    for index in range(len(split)):
        found = reader.read(palette.index(split.images[index : index + 1])[0].numpy())
        boxes, categories = split.boxes(index)
        for box, category in zip(boxes.tolist(), categories.tolist(), strict=True):
            x, y = (box[0] + box[2] - 1) / 2, (box[1] + box[3] - 1) / 2
            places = found[data.categories[category]]
            assert any(abs(x - u) <= 1 and abs(y - v) <= 1 for u, v in places), (index, category)
            near += len(places) == 1
    assert near > 0.9 * sum(len(split.boxes(i)[1]) for i in range(len(split)))


def test_half_a_ball_is_a_ball_and_a_speck_is_none() -> None:
    data, palette, reader = pong()
    split = data.splits["train"]
    index = next(i for i in range(len(split)) if "ball" in [data.categories[c] for c in split.boxes(i)[1].tolist()])
    numbers = palette.index(split.images[index : index + 1])[0].numpy()
    mask = split.masks(index)[[data.categories[c] for c in split.boxes(index)[1].tolist()].index("ball")].numpy()
    field = int(np.bincount(numbers.flatten()).argmax())
    half, speck = numbers.copy(), numbers.copy()
    rows = np.flatnonzero(mask.any(1))
    half[rows[len(rows) // 2 :]] = np.where(mask[rows[len(rows) // 2 :]], field, half[rows[len(rows) // 2 :]])
    speck[mask] = field
    first = np.argwhere(mask)[0]
    speck[tuple(first)] = numbers[tuple(first)]
    assert len(reader.read(half)["ball"]) == 1 and len(reader.read(speck)["ball"]) == 0


def test_images_without_objects_are_refused() -> None:
    data, palette, _ = pong()
    split = data.splits["train"]
    empty = type(split)("train", torch.zeros_like(split.images), tuple(_without(label) for label in split.labels))
    with pytest.raises(DataError, match="objects cannot be read"):
        ObjectReader(labeled_frames(empty, palette), len(palette), data.categories)


def _without(label: object) -> object:
    from dataclasses import replace

    return replace(label, objects=())  # type: ignore[type-var]
