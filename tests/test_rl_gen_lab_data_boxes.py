"""Boxes within their images, and boxes of another format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from coco_folders import H, W, coco_folder

from rl_gen_lab.data import boxes
from rl_gen_lab.data import dataset as data
from rl_gen_lab.data.records import DataError


def test_a_box_is_clipped_to_its_image_and_dropped_where_nothing_is_left() -> None:
    assert boxes.clip((1, 2, 3, 5), W, H) == (1, 2, 3, 5)
    assert boxes.clip((-0.0001, 2, 3, H + 5), W, H) == (0, 2, 3, H)
    assert boxes.clip((-1e300, -1e300, 1e300, 1e300), W, H) == (0, 0, W, H)
    for nothing in ((1, 2, 1, 5), (1, 5, 3, 2), (W, 2, W + 4, 3), (-4, 2, 0, 3), (2, 2, 2 + 1e-9, 3)):
        assert boxes.clip(nothing, W, H) is None


def test_boxes_that_are_what_they_should_be_are_no_other_format() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.uniform(0, 90, (2, 50))
    whole = [(x, y, x + w, y + h) for x, y, w, h in zip(x, y, *rng.uniform(1, 60, (2, 50)), strict=True)]
    assert boxes.other_format(whole, 100, 100) is None, "many of them reach beyond, but they are not all corners"
    assert boxes.other_format([(0, 0, 100, 100)] * 20, 100, 100) is None
    corners = [(x1, y1, x1 + x2, y1 + y2) for x1, y1, x2, y2 in whole if max(x2, y2) <= 100]
    assert boxes.other_format(corners, 100, 100) == "corners x1, y1, x2, y2"
    assert boxes.other_format(corners[: boxes.FEW - 1], 100, 100) is None, "a few could be anything"


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ([3, 2, 7, 6], "own: its boxes seem to be corners x1, y1, x2, y2; write them as x, y, width, height in pixels"),
        ([0.2, 0.1, 0.5, 0.5], "own: its boxes seem to be fractions of the image; write them as"),
    ],
)
def test_boxes_of_another_format_are_recognized(tmp_path: Path, box: list[float], message: str) -> None:
    def change(labels: dict[str, Any]) -> None:
        for annotation in labels["annotations"]:
            annotation.update(bbox=box, segmentation=None)

    with pytest.raises(DataError, match=message):
        data.load(coco_folder(tmp_path / "own", change=change))
