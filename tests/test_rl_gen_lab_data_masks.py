"""Masks: encodings, and objects without one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from rl_gen_lab.data import dataset as data
from rl_gen_lab.data import masks
from rl_gen_lab.data.coco import DataError

H, W = 6, 8


def coco_folder(path: Path, images: int = 20, change: Callable[[dict[str, Any]], None] = lambda labels: None) -> Path:
    """Somebody's own images: a cat of 2 x 3 pixels at (1, 2) in each, a dog in every second; one labels file."""
    (path / "images").mkdir(parents=True)
    labels: dict[str, Any] = {"images": [], "annotations": [], "categories": []}
    labels["categories"] = [{"id": 17, "name": "cat"}, {"id": 3, "name": "dog"}]
    for i in range(images):
        pixels = np.full((H, W, 3), i, np.uint8)
        Image.fromarray(pixels).save(path / "images" / f"{i}.png")
        labels["images"].append({"id": 100 + i, "file_name": f"{i}.png", "width": W, "height": H})
        cat = {"counts": [H + 2, 3, H - 3, 3, H * W - 2 * H - 5], "size": [H, W]}
        things = [(17, [1, 2, 2, 3], cat)] + [(3, [4.0, 0.5, 3.0, 4.0], [[4, 1, 6, 1, 6, 4, 4, 4]])] * (i % 2)
        for category, box, mask in things:
            thing = {"image_id": 100 + i, "category_id": category, "bbox": box, "segmentation": mask}
            labels["annotations"].append(thing | {"id": len(labels["annotations"]), "iscrowd": 0})
    change(labels)
    (path / "annotations").mkdir()
    (path / "annotations" / "instances.json").write_text(json.dumps(labels))
    return path


def _first(key: str, **values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda labels: labels[key][0].update(values)


def test_an_object_without_a_mask_is_named_when_masks_are_asked_for(tmp_path: Path) -> None:
    own = data.load(coco_folder(tmp_path / "own", change=_first("annotations", segmentation=None)))
    own.splits["train"].masks(1)
    with pytest.raises(DataError, match=r"0\.png: annotation 0 has no mask"):
        own.splits["train"].masks(0)


def test_run_lengths_as_text_are_those_as_numbers() -> None:
    # By hand: 3 -> "3"; 40 = 1*32 + 8 -> 8 | more, 1 -> "X1"; 2 -> "2"; 38 as difference to 40: -2 -> "N".
    assert masks.run_lengths_from_text("3X12N") == [3, 40, 2, 38]
    with pytest.raises(ValueError, match="run lengths hold"):
        masks.run_lengths_from_text("3\x7f")
