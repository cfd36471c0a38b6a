"""Annotations as values: what is corrected in them, and what is said about it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from coco_folders import H, W, coco_folder

from rl_gen_lab.data import dataset as data
from rl_gen_lab.data.labels import Corrections
from rl_gen_lab.data.records import DataError


def _boxes(*boxes: list[float]) -> Callable[[dict[str, Any]], None]:
    """Give these boxes to the cats of the first images, without masks."""

    def change(labels: dict[str, Any]) -> None:
        cats = [item for item in labels["annotations"] if item["category_id"] == 17]
        for cat, box in zip(cats, boxes, strict=False):
            cat |= {"bbox": box, "segmentation": None}

    return change


def test_slips_in_boxes_are_mended_and_counted_instead_of_refusing_the_folder(tmp_path: Path) -> None:
    slips = ([1, 2, 2, 0], [-0.0001, 2, 3, 3], [7, 2, 2, 3], [-50, -50, 52, 53], [W, 0, 3, 3], [2, 2, 1e-9, 3])
    own = data.load(coco_folder(tmp_path / "own", change=_boxes(*slips)))
    cats = [
        [item.box for item in label.objects if own.categories[item.category] == "cat"]
        for label in own.splits["train"].labels[:7]
    ]
    assert cats == [[], [(0, 2, 2.9999, 5)], [(7, 2, W, 5)], [(0, 0, 2, 3)], [], [], [(1, 2, 3, 5)]]
    assert own.corrections == Corrections(empty=3, clipped=3)
    assert own.corrections.describe() == [
        "left out, for their box or mask covers nothing of the image: 3 objects",
        "cut off at the borders of their image: 3 boxes",
    ]


@pytest.mark.parametrize("mask", [{"size": [H, W], "counts": [H * W]}, [[1.1, 2.1, 1.2, 2.1, 1.2, 2.2]]])
def test_an_object_whose_mask_is_empty_is_left_out_and_counted(tmp_path: Path, mask: Any) -> None:
    own = data.load(
        coco_folder(tmp_path / "own", change=lambda labels: labels["annotations"][0].update(segmentation=mask))
    )
    assert own.corrections == Corrections(empty=1) and not own.splits["train"].labels[0].objects


def test_a_mask_far_outside_of_its_clipped_box_is_still_refused(tmp_path: Path) -> None:
    mask = {"size": [H, W], "counts": [H * W - 1, 1]}

    def change(labels: dict[str, Any]) -> None:
        labels["annotations"][0].update(bbox=[-9, -9, 10, 10], segmentation=mask)

    with pytest.raises(DataError, match=r"0\.png: the mask of annotation 0 lies 7 pixels outside its box"):
        data.load(coco_folder(tmp_path / "own", change=change))


def test_nothing_is_said_about_files_that_are_taken_as_they_are() -> None:
    assert Corrections().describe() == []
    assert Corrections(crowded=1_000).describe() == ["left out, for they show crowds (iscrowd): 1,000 images"]
