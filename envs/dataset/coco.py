"""COCO annotations: run-length encoded masks, and the records of COCO's JSON files.

Source: Lin et al. 2014, "Microsoft COCO"; the text form of run lengths is that of the authors' maskApi.c (rleToString).
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from envs.ground_truth.objects import Box, Object

Record = dict[str, Any]  # readers ignore fields that COCO does not define


def annotation(annotation_id: int, image_id: int, category_id: int, obj: Object, size: tuple[int, int]) -> Record:
    """Return the record of an object; `category_id` counts from 1, `size` is (height, width) of the image."""
    x, y, w, h = obj.box
    return {
        "id": annotation_id,
        "image_id": image_id,
        "category_id": category_id,
        "bbox": [x, y, w, h],
        "area": int(np.count_nonzero(obj.mask)),
        "iscrowd": 0,
        "segmentation": {"size": list(size), "counts": encode(obj.box, obj.mask, size)},
    }


def encode(box: Box, mask: np.ndarray, size: tuple[int, int]) -> str:
    """Encode a mask (h, w) bool that lies at `box` in an image of `size` (height, width) as text of run lengths."""
    return _encode(box, np.packbits(mask).tobytes(), mask.shape, size)


@functools.lru_cache(maxsize=65_536)  # the same bricks and paddles recur in most frames
def _encode(box: Box, packed: bytes, shape: tuple[int, int], size: tuple[int, int]) -> str:
    mask = np.unpackbits(np.frombuffer(packed, np.uint8), count=shape[0] * shape[1]).reshape(shape)
    columns, rows = np.nonzero(mask.T)  # column by column, as COCO counts
    indices = (columns + box[0]) * size[0] + rows + box[1]
    breaks = np.flatnonzero(np.diff(indices) != 1)
    starts, ends = indices[np.r_[0, breaks + 1]], indices[np.r_[breaks, len(indices) - 1]] + 1
    edges = np.r_[0, np.stack([starts, ends], 1).ravel(), size[0] * size[1]]
    counts = np.diff(edges).tolist()
    return _as_text(counts if counts[-1] else counts[:-1])


def _as_text(counts: list[int]) -> str:
    """Write counts with five bits a character; from the third count on, as the difference to the count two before."""
    characters = []
    for i, count in enumerate(counts):
        value = count - counts[i - 2] if i > 2 else count
        more = True
        while more:
            bits = value & 0x1F
            value >>= 5
            more = value != (-1 if bits & 0x10 else 0)
            characters.append(chr((bits | 0x20 if more else bits) + 48))
    return "".join(characters)


def decode(text: str, size: tuple[int, ...]) -> np.ndarray:
    """Decode a text of `encode` to the mask in the image, (H, W) bool; size: (height, width)."""
    counts: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        value |= (bits & 0x1F) << shift
        shift += 5
        if not bits & 0x20:
            if bits & 0x10:
                value -= 1 << shift
            counts.append(value + counts[-2] if len(counts) > 2 else value)
            value = shift = 0
    flat = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    mask = np.zeros(size[0] * size[1], bool)
    mask[: len(flat)] = flat
    return mask.reshape(size[1], size[0]).T
