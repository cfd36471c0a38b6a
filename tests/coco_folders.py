"""Folders in COCO's format, as a user may have them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

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
        things = [(17, [1, 2, 2, 3], cat)] + [(3, [4.0, 0.5, 3.0, 4.0], [[4, 1, 7, 1, 7, 5, 4, 5]])] * (i % 2)
        for category, box, mask in things:
            thing = {"image_id": 100 + i, "category_id": category, "bbox": box, "segmentation": mask}
            labels["annotations"].append(thing | {"id": len(labels["annotations"]), "iscrowd": 0})
    change(labels)
    (path / "annotations").mkdir()
    (path / "annotations" / "instances.json").write_text(json.dumps(labels))
    return path
