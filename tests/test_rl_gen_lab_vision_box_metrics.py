"""Metrics of boxes, by hand and against brute force."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rl_gen_lab.vision.box_metrics import Detections, average_precision, center_f1, count_hits, run_lengths


def boxes_at(places: list[tuple[int, int]]) -> torch.Tensor:
    return torch.tensor([(x - 1.0, y - 2.0, x + 1.0, y + 2.0) for x, y in places]).reshape(-1, 4)


place = st.tuples(st.integers(0, 9), st.integers(0, 9))


@settings(max_examples=60)
@given(st.lists(place, max_size=4), st.lists(place, max_size=4))
def test_hits_are_pairs_within_the_distance_and_never_more_than_the_best_assignment(
    found: list[tuple[int, int]], truth: list[tuple[int, int]]
) -> None:
    count = count_hits(boxes_at(found), boxes_at(truth))
    small, large = sorted((found, truth), key=len)
    best = max(
        sum(math.dist(a, b) <= 3 for a, b in zip(small, chosen, strict=True))
        for chosen in itertools.permutations(large, len(small))
    )
    assert best / 2 <= count <= best  # greedy, best score first
    assert (count == 0) == (best == 0)


def test_f1_counts_each_category_apart() -> None:
    found = [Detections(boxes_at([(5, 5), (20, 5)]), torch.tensor([0, 1]), torch.tensor([0.9, 0.8]))]
    truth = [(boxes_at([(7, 7), (20, 9)]), torch.tensor([0, 1]))]  # distances 2.83 and 4
    scores = center_f1(found, truth, ("ball", "paddle", "ghost"))
    assert scores == {"f1": 0.5, "f1/ball": 1.0, "f1/paddle": 0.0}
    assert center_f1([found[0].above(0.85)], truth, ("ball", "paddle"))["f1"] == pytest.approx(2 / 3)


def test_average_precision_is_that_of_paper_and_pencil() -> None:
    """Scores .9 right, .8 wrong, .7 right, of 2: recall to .5 at precision 1, to 1 at 2/3, read at 101 recalls."""
    truth = [(boxes_at([(5, 5), (20, 5)]), torch.tensor([0, 0]))]
    found = [Detections(boxes_at([(5, 5), (12, 30), (20, 5)]), torch.tensor([0, 0, 0]), torch.tensor([0.9, 0.8, 0.7]))]
    scores = average_precision(found, truth, ("ball", "ghost"), (40, 32))
    expected = (51 + 50 * 2 / 3) / 101
    assert scores == pytest.approx({"ap": expected, "ap50": expected, "ap50/ball": expected})
    nothing = [Detections(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), torch.zeros(0))]
    assert average_precision(nothing, truth, ("ball",), (40, 32))["ap50"] == 0.0


def test_average_precision_of_masks_is_by_their_pixels() -> None:
    """Two masks of the same box: one that is right, one of which a third overlaps, counted at thresholds from 0.5."""
    true = torch.zeros(2, 20, 20, dtype=torch.bool)
    true[0, 2:6, 2:6] = True
    true[1, 10:14, 10:14] = True
    said = true.clone()
    said[1] = False
    said[1, 12:16, 10:14] = True  # 8 of 24 pixels
    boxes = torch.tensor([[2.0, 2, 6, 6], [10, 10, 14, 14]])
    found = [Detections(boxes, torch.tensor([0, 0]), torch.tensor([0.9, 0.8]))]
    truth = [(boxes, torch.tensor([0, 0]))]
    assert average_precision(found, truth, ("ball",), (20, 20))["ap50"] == pytest.approx(1.0)
    masks = ([run_lengths(said)], [run_lengths(true)])
    assert average_precision(found, truth, ("ball",), (20, 20), masks)["ap50"] == pytest.approx(51 / 101)
    masks = ([run_lengths(true)], [run_lengths(true)])
    assert average_precision(found, truth, ("ball",), (20, 20), masks)["ap"] == pytest.approx(1.0)
