"""Regions of one color against scipy's."""

from __future__ import annotations

import numpy as np
import torch
import vision_data
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from rl_gen_lab.vision.boxes import iou
from rl_gen_lab.vision.detection.anchors import all_sides, cluster_shapes
from rl_gen_lab.vision.detection.proposals import ColorRegions, cut_into_tiles, regions


def pictures() -> st.SearchStrategy[np.ndarray]:
    return st.integers(0, 2**32 - 1).map(lambda seed: np.random.default_rng(seed).integers(0, 2, (3, 9, 7), np.uint8))


@settings(max_examples=60)
@given(pictures())
def test_regions_are_those_of_scipy(image: np.ndarray) -> None:
    image[1:] = image[0]  # two colors: large, winding regions
    expected = []
    for value in (0, 1):
        for rows, columns in ndimage.find_objects(ndimage.label(image[0] == value)[0]):
            expected.append((columns.start, rows.start, columns.stop, rows.stop))
    assert sorted(map(tuple, regions(image).tolist())) == sorted(expected)


def test_objects_are_proposed_and_a_row_of_bricks_is_cut() -> None:
    split = vision_data.eight()
    propose = ColorRegions(all_sides(split).max(0).values, cluster_shapes(split, 3), 16)
    for row in range(8):
        boxes, _ = split.boxes(row)
        assert (iou(boxes, propose(split.images[row])).amax(1) > 0.99).all()
    image = torch.zeros(3, 20, 40, dtype=torch.uint8)
    image[:, 3:6, 4:28] = 200  # four bricks of 6 x 3
    bricks = ColorRegions(torch.tensor([6.0, 3.0]), torch.tensor([[6.0, 3.0], [2.0, 1.0]]), 16)
    assert bricks(image).tolist() == [[x, 3, x + 6, 6] for x in (4, 10, 16, 22)]
    image[:, 3:6, 4:28] = 0
    image[:, 3:6, 4:27] = 200  # 23 pixels: no whole number of bricks
    assert len(bricks(image)) == 0
    assert cut_into_tiles(np.array([0, 0, 2, 2]), (1, 2)).tolist() == [[0, 0, 1, 2], [1, 0, 2, 2]]
