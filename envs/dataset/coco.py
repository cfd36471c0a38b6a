"""COCO's words for labels: run-length encoded masks, and the records of its JSON files.

Source: Lin et al. 2014, "Microsoft COCO"; the text form of run lengths is that of the authors' maskApi.c (rleToString).
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from envs.ground_truth.objects import Box, Object

# What an image record has besides COCO's own fields is left alone by readers that do not know it.
Record = dict[str, Any]


def annotation(number: int, image: int, category: int, thing: Object, size: tuple[int, int]) -> Record:
    """The record of one object; `category` counts from 1, `size` is (height, width) of the image."""
    x, y, w, h = thing.box
    return {
        "id": number,
        "image_id": image,
        "category_id": category,
        "bbox": [x, y, w, h],
        "area": int(np.count_nonzero(thing.mask)),
        "iscrowd": 0,
        "segmentation": {"size": list(size), "counts": encode(thing.box, thing.mask, size)},
    }


def encode(box: Box, mask: np.ndarray, size: tuple[int, int]) -> str:
    """Run lengths of a mask (h, w) bool that lies at `box` in an image of `size` (height, width), as text."""
    return _encode(box, np.packbits(mask).tobytes(), mask.shape, size)


@functools.lru_cache(maxsize=65_536)  # bricks and paddles come again and again
def _encode(box: Box, packed: bytes, shape: tuple[int, int], size: tuple[int, int]) -> str:
    mask = np.unpackbits(np.frombuffer(packed, np.uint8), count=shape[0] * shape[1]).reshape(shape)
    columns, rows = np.nonzero(mask.T)  # column by column, as COCO counts
    at = (columns + box[0]) * size[0] + rows + box[1]
    breaks = np.flatnonzero(np.diff(at) != 1)
    starts, ends = at[np.r_[0, breaks + 1]], at[np.r_[breaks, len(at) - 1]] + 1
    edges = np.r_[0, np.stack([starts, ends], 1).ravel(), size[0] * size[1]]
    counts = np.diff(edges).tolist()
    return _as_text(counts if counts[-1] else counts[:-1])


def _as_text(counts: list[int]) -> str:
    """Five bits a character; from the third on, a count is written as its difference to the one two before."""
    text = []
    for i, count in enumerate(counts):
        value = count - counts[i - 2] if i > 2 else count
        more = True
        while more:
            bits = value & 0x1F
            value >>= 5
            more = value != (-1 if bits & 0x10 else 0)
            text.append(chr((bits | 0x20 if more else bits) + 48))
    return "".join(text)


def decode(text: str, size: tuple[int, ...]) -> np.ndarray:
    """Undo `encode`: the mask in the whole image, (H, W) bool; size: (height, width)."""
    counts: list[int] = []
    value = shift = 0
    for letter in text:
        bits = ord(letter) - 48
        value |= (bits & 0x1F) << shift
        shift += 5
        if not bits & 0x20:
            if bits & 0x10:
                value -= 1 << shift
            counts.append(value + counts[-2] if len(counts) > 2 else value)
            value = shift = 0
    flat = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    whole = np.zeros(size[0] * size[1], bool)
    whole[: len(flat)] = flat
    return whole.reshape(size[1], size[0]).T
