"""A small folder of labeled images, written and read as a user's own, and eight of them to be learned by heart."""

from __future__ import annotations

import functools
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from rl_gen_lab.data import dataset as data
from rl_gen_lab.training.task import Task

H, W = 40, 32
THINGS = {"ball": ((236, 236, 236), 2, 4), "paddle": ((92, 186, 92), 4, 12)}  # color, width, height [px]


def write(path: Path, images: int = 20, seed: int = 0) -> Path:
    """Images with a paddle each and a ball in three of four, on a brown ground with a white wall."""
    rng = np.random.default_rng(seed)
    (path / "images").mkdir(parents=True)
    (path / "annotations").mkdir()
    labels: dict[str, Any] = {"images": [], "annotations": []}
    labels["categories"] = [{"id": i, "name": name} for i, name in enumerate(THINGS, 1)]
    for i in range(images):
        pixels = np.full((H, W, 3), (144, 72, 17), np.uint8)
        pixels[:3] = 236
        labels["images"].append({"id": i, "file_name": f"{i}.png", "width": W, "height": H})
        for number, (name, (color, w, h)) in enumerate(THINGS.items(), 1):
            if name == "ball" and i % 4 == 3:
                continue
            x, y = int(rng.integers(16 * (number - 1), 16 * number - w)), int(rng.integers(4, H - h))
            pixels[y : y + h, x : x + w] = color
            corners = [x, y, x + w, y, x + w, y + h, x, y + h]
            thing = {"id": len(labels["annotations"]), "image_id": i, "category_id": number, "iscrowd": 0}
            labels["annotations"].append(thing | {"bbox": [x, y, w, h], "area": w * h, "segmentation": [corners]})
        Image.fromarray(pixels).save(path / "images" / f"{i}.png")
    (path / "annotations" / "instances.json").write_text(json.dumps(labels))
    return path


@functools.cache
def folder() -> Path:
    """16 images for train, 2 for val, 2 for test."""
    return write(Path(tempfile.mkdtemp()) / "pictures")


@functools.cache
def dataset() -> data.Dataset:
    """The folder as it is read."""
    return data.load(folder())


def eight() -> data.Split:
    """The first eight training images as a split of that name."""
    train = dataset().splits["train"]
    return data.Split("train", train.images[:8], train.labels[:8])


def learn_by_heart(task: Task, updates: int, learning_rate: float) -> tuple[float, dict[str, float]]:
    """Train on the eight images; the mean loss of the last updates, and the metrics on the same eight."""
    optimizer = torch.optim.Adam(task.network.parameters(), learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, updates)
    losses = []
    task.network.train()
    for _ in range(updates):
        loss = task.loss(eight(), torch.arange(8))["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(float(loss.detach()))
    task.network.eval()
    with torch.no_grad():
        return sum(losses[-5:]) / 5, task.evaluate(eight(), lambda done: None)
