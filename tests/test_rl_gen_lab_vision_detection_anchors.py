"""Shapes of anchors."""

from __future__ import annotations

import vision_data

from rl_gen_lab.vision.detection.anchors import cluster_shapes


def test_shapes_are_those_of_the_training_boxes() -> None:
    shapes = cluster_shapes(vision_data.dataset().splits["train"], 2)
    found = sorted(tuple(round(side, 3) for side in shape) for shape in shapes.tolist())
    assert found == [(2, 4), (4, 12)]
    assert len(cluster_shapes(vision_data.dataset().splits["train"], 6)) == 2, "no more than there are"
