"""The sliding window: where its windows are, its loss, and a world of blocks that it learns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from test_rl_gen_lab_classic_task import train_config

from rl_gen_lab.classic.config import ClassicConfig
from rl_gen_lab.classic.detector import WindowNetwork, is_peak, window_loss
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.data.dataset import Dataset, Split, channel_statistics
from rl_gen_lab.data.labels import ImageAnnotation, ObjectAnnotation
from rl_gen_lab.training import tasks

WINDOWS = ClassicConfig(model="sliding-window")


def test_middles_of_windows_are_those_of_the_pixels_that_they_see() -> None:
    network = WindowNetwork(WINDOWS, (40, 30), torch.tensor([[4.0, 8.0]]))
    image = torch.zeros(1, 3, 40, 30, dtype=torch.uint8)
    image[..., 12:20, 10:14] = 255  # center 12, 16
    for weight in network.weights:  # speaks for gradients near the window's middle
        weight.data[:, :36] = 1.0
    scores = network(image)[0]
    middles = network.centers(0, scores)
    assert len(middles) == scores.numel()
    best = scores.flatten()
    center = (middles * best[:, None]).sum(0) / best.sum()
    assert (center - torch.tensor([12.0, 16.0])).abs().max() < 0.75
    steps = middles.unique(dim=0).sort(0).values.diff(dim=0)
    assert steps[steps > 0].min() == network.step == 2


def test_windows_reach_the_border_of_the_image() -> None:
    network = WindowNetwork(WINDOWS, (40, 30), torch.tensor([[4.0, 8.0]]))
    scores = network(torch.zeros(1, 3, 40, 30, dtype=torch.uint8))[0]
    middles = network.centers(0, scores)
    assert middles.min(0).values.tolist() == [2.0, 4.0]
    assert middles.max(0).values.tolist() == [28.0, 36.0]


def test_the_loss_of_windows_on_paper() -> None:
    middles = torch.tensor([[0.0, 0.0], [2.0, 0.0], [4.0, 0.0], [20.0, 0.0], [30.0, 0.0]])
    scores = torch.tensor([-5.0, 0.25, 9.0, 0.5, -3.0])
    total, count = window_loss(scores, middles, torch.tensor([[2.4, 0.3]]), step=2.0)
    # the window at 2 is the object's; 0 and 4 are too near to count; 20 comes too near to the boundary; 30 does not
    assert count == 1 and float(total) == pytest.approx(0.75 + 1.5)
    total, count = window_loss(scores, middles, torch.zeros(0, 2), step=2.0)
    assert count == 0 and float(total) == pytest.approx(1.25 + 10.0 + 1.5)


def test_of_windows_near_to_each_other_the_best_is_left() -> None:
    scores = torch.tensor([[[1.0, 3.0, 2.0, 0.0, 0.5]]])
    assert is_peak(scores, step=2.0).tolist() == [[[False, True, False, False, True]]]
    assert is_peak(scores, step=4.0).all()  # all are farther apart than 3 pixels


@pytest.mark.parametrize(("sizes", "said"), [([[1.0, 1.0]], "window of 1 x 1 cells"), ([[90.0, 4.0]], "not fit into")])
def test_windows_that_do_not_fit_are_refused(sizes: list[list[float]], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        WindowNetwork(ClassicConfig(model="sliding-window", context=0), (40, 30), torch.tensor(sizes))


def test_windows_too_far_apart_to_find_anything_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"windows 8 pixels apart miss .* use --classic\.cell of at most 6"):
        WindowNetwork(ClassicConfig(model="sliding-window", cell=8), (40, 40), torch.tensor([[16.0, 16.0]]))


def blocks(tmp_path: Path) -> Dataset:
    """Images with an upright green and a level green bar, anywhere, and a gray square, which is none."""
    rng, splits = np.random.default_rng(0), {}
    for name, count in (("train", 24), ("val", 2), ("test", 12)):
        images, labels = [], []
        for i in range(count):
            pixels = np.full((48, 48, 3), 60, np.uint8)
            x, y = rng.integers(0, 40, 2)
            pixels[y : y + 5, x : x + 5] = 130
            things = []
            for category, (w, h) in enumerate([(4, 12), (12, 4)]):
                x, y = int(rng.integers(0, 48 - w)), int(rng.integers(24 * category, 24 * category + 24 - h + 1))
                pixels[y : y + h, x : x + w] = (40, 220, 40)
                things.append(ObjectAnnotation(len(things), category, (x, y, x + w, y + h), None))
            file = tmp_path / f"{name}{i}.png"
            Image.fromarray(pixels).save(file)
            images.append(torch.from_numpy(pixels).permute(2, 0, 1))
            labels.append(ImageAnnotation(file, None, 48, 48, None, tuple(things), (), {}, {}))
        splits[name] = Split(name, torch.stack(images), tuple(labels))
    statistics = channel_statistics(splits["train"].images)
    return Dataset(tmp_path, ("upright", "level"), splits, *statistics, {})


@pytest.mark.parametrize("features", ["hog", "hog-opencv"])
def test_bars_are_found_and_told_apart_by_their_gradients(features: str, tmp_path: Path) -> None:
    data = blocks(tmp_path)
    config = train_config(tmp_path, ClassicConfig("sliding-window", features, color=False))  # type: ignore[arg-type]
    task = tasks.make_task(config, data, torch.device("cpu"))
    optimizer = torch.optim.Adam(task.network.parameters(), 4e-2)
    first = float(task.loss(data.splits["train"], torch.arange(8))["data"])
    assert first > 1  # zero scores: a hinge of 1 for each object and for each counterexample
    for update in range(60):
        losses = task.loss(data.splits["train"], torch.arange(8 * update, 8 * update + 8) % 24)
        optimizer.zero_grad()
        losses["loss"].backward()
        optimizer.step()
    task.network.eval()
    with torch.no_grad():
        metrics = task.evaluate(data.splits["test"], lambda done: None)
    assert metrics["f1/upright"] > 0.9 and metrics["f1/level"] > 0.9
