"""Segmentation: eight images by heart, the metric against independent sums."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import vision_data
from torchmetrics.functional.classification import multiclass_jaccard_index

from rl_gen_lab.backbones.config import BackboneConfig
from rl_gen_lab.vision.segmentation.config import SegmentConfig
from rl_gen_lab.vision.segmentation.task import SegmentationTask, segmentation_metrics

CPU = torch.device("cpu")


SMALL = BackboneConfig(width=8, stages=3, depth=1, first_stride=1, norm="batch")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("config", "updates", "bar"),
    [
        (SegmentConfig("unet", choices=SMALL), 120, 0.99),
        (SegmentConfig("fcn", width=8, levels=2), 250, 0.99),
        (SegmentConfig("fcn", width=8, levels=2, upsampling="unpool"), 250, 0.99),
        (SegmentConfig("patch", width=16, patches=24), 250, 0.6),
    ],
    ids=["unet", "fcn", "fcn-unpool", "patch"],
)
def test_eight_pictures_are_learned_by_heart(config: SegmentConfig, updates: int, bar: float) -> None:
    torch.manual_seed(0)
    task = SegmentationTask(config, vision_data.dataset(), CPU)
    loss, found = vision_data.learn_by_heart(task, updates, 1e-2)
    assert loss < 0.05
    assert found["miou"] > bar and found["accuracy"] > 0.98, found


def test_more_than_255_categories_keep_their_numbers() -> None:
    dataset = vision_data.dataset()
    many = replace(dataset, categories=tuple(f"c{i}" for i in range(300)))
    train = dataset.splits["train"]
    labels = tuple(
        replace(label, objects=tuple(replace(item, category=item.category + 290) for item in label.objects))
        for label in train.labels
    )
    splits = dataset.splits | {"train": replace(train, labels=labels)}
    task = SegmentationTask(SegmentConfig("fcn", width=4), replace(many, splits=splits), CPU)
    assert set(task.targets["train"].unique().tolist()) == {0, 291, 292}


def test_intersection_over_union_is_that_of_the_sets_of_pixels() -> None:
    rng = np.random.default_rng(0)
    truth, found = rng.integers(0, 3, (2, 30, 20))  # the fourth class is nowhere
    confusion = torch.zeros(4, 4, dtype=torch.int64)
    for t, f in zip(truth.flatten(), found.flatten(), strict=True):
        confusion[t, f] += 1
    scores = segmentation_metrics(confusion, ("ball", "paddle", "ghost"))
    for number, name in ((1, "ball"), (2, "paddle")):
        expected = ((truth == number) & (found == number)).sum() / ((truth == number) | (found == number)).sum()
        assert scores[f"iou/{name}"] == pytest.approx(expected)
    assert "iou/ghost" not in scores
    assert scores["miou"] == pytest.approx((scores["iou/ball"] + scores["iou/paddle"]) / 2)
    assert scores["accuracy"] == pytest.approx((truth == found).mean())
    theirs = multiclass_jaccard_index(torch.tensor(found), torch.tensor(truth), 4, average="none")
    assert [scores["iou/ball"], scores["iou/paddle"]] == pytest.approx(theirs[1:3].tolist()), "another library's"
