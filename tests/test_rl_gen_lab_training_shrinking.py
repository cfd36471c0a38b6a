"""A model's own task as a recipe's: another backbone, the order of images, tasks that cannot be compressed."""

from __future__ import annotations

import pytest
import torch
import vision_data
from test_rl_gen_lab_compress import trained

from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.compression.recipe import Common
from rl_gen_lab.data import dataset
from rl_gen_lab.runs.folder import RunFolder
from rl_gen_lab.training.shrinking import OwnTask


def own_task() -> OwnTask:
    return OwnTask(RunFolder.open(trained()), dataset.load(vision_data.folder()), Common(batch_size=4), 0)


def test_a_segment_has_the_same_losses_again_and_another_has_others() -> None:
    task = own_task()
    network = task.build(None).eval()
    losses = []
    for segment in (1, 1, 2):
        task.begin(network, segment, 0.0)
        losses.append([float(task.loss(network, 0.0).detach()) for _ in range(3)])
    assert losses[0] == pytest.approx(losses[1]) and losses[0] != pytest.approx(losses[2])


def test_every_image_is_seen_before_one_comes_again() -> None:
    task = own_task()
    network = task.build(None)
    task.begin(network, 0, 0.0)
    seen: list[int] = []
    loss = task.task.loss
    task.task.loss = lambda split, indices: seen.extend(indices.tolist()) or loss(split, indices)  # type: ignore
    for _ in range(len(task.data.splits["train"]) // 4):
        task.loss(network, 0.0)
    assert len(set(seen)) == len(seen)


def test_the_trained_weights_are_the_start_and_what_is_measured() -> None:
    task = own_task()
    network = task.build(None)
    row = task.as_it_is()
    assert row["bytes"] == 4 * sum(w.numel() for w in network.parameters()) and row["metric"] == "miou"
    network.eval()
    with torch.no_grad():
        exact = task.task.evaluate(task.data.splits["test"], lambda done: None)
    assert row["score"] == pytest.approx(exact["miou"], abs=1e-4) and row["images"] == len(task.data.splits["test"])
    assert torch.equal(next(network.parameters()), next(own_task().build(None).parameters()))


def test_a_new_network_stands_on_another_backbone_and_the_file_says_so() -> None:
    task = own_task()
    small, whole = task.build("squeezenet"), own_task().build(None)
    assert {type(m).__name__ for m in small.modules()} != {type(m).__name__ for m in whole.modules()}
    header, named = task.header("squeezenet")
    assert named and header["run"]["config"]["segment"]["backbone"] == "squeezenet"
    with pytest.raises(ConfigError, match="unknown backbone"):
        own_task().build("squeezednet")
