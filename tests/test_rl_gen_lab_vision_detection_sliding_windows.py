"""Sliding windows."""

from __future__ import annotations

import torch
import vision_data

from rl_gen_lab.vision.boxes import iou
from rl_gen_lab.vision.detection.anchors import cluster_shapes
from rl_gen_lab.vision.detection.sliding_windows import Windows, strides


def test_windows_cover_every_object_and_skip_what_is_of_one_color() -> None:
    split = vision_data.eight()
    windows = Windows(cluster_shapes(split, 3), (vision_data.H, vision_data.W))
    for row in range(8):
        boxes, _ = split.boxes(row)
        found = windows(split.images[row])
        assert (iou(boxes, found).amax(1) > 0.4).all()
        assert len(found) < sum(len(all_) for all_ in windows.boxes)
    assert len(windows(torch.full((3, vision_data.H, vision_data.W), 7, dtype=torch.uint8))) == 0
    assert strides(4, 16) == (4, 2) and strides(1, 40) == (4, 1)
    lonely = torch.zeros(3, vision_data.H, vision_data.W, dtype=torch.uint8)
    lonely[:, 20, 10] = 255
    for x1, y1, x2, y2 in windows(lonely).tolist():  # the pixel is in the window or right beside it
        assert x1 - 1 <= 10 <= x2 and y1 - 1 <= 20 <= y2
