"""The geometry of boxes against brute force in float64, on boxes that hypothesis thinks of."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rl_gen_lab.vision import boxes as geometry
from rl_gen_lab.vision.boxes import BACKGROUND, IGNORED

SIDE = 12
Box = tuple[float, float, float, float]


@st.composite
def box(draw: st.DrawFn, smallest: int = 0) -> Box:
    """On a grid of quarters, so that equal overlaps and touching edges happen."""
    x1, y1 = (draw(st.integers(0, 4 * SIDE - smallest)) for _ in range(2))
    x2, y2 = draw(st.integers(x1 + smallest, 4 * SIDE)), draw(st.integers(y1 + smallest, 4 * SIDE))
    return x1 / 4, y1 / 4, x2 / 4, y2 / 4


def tensor(found: list[Box]) -> Tensor:
    return torch.tensor(found, dtype=torch.float64).reshape(-1, 4)


def slow_iou(one: Box, other: Box) -> float:
    """By counting sixteenths of pixels."""

    def cells(b: Box) -> set[tuple[int, int]]:
        return {(x, y) for x in range(int(4 * b[0]), int(4 * b[2])) for y in range(int(4 * b[1]), int(4 * b[3]))}

    a, b = cells(one), cells(other)
    return len(a & b) / len(a | b) if a | b else 0.0


@settings(max_examples=60)
@given(st.lists(box(), max_size=4), st.lists(box(), max_size=4))
def test_iou_is_the_share_of_common_cells(one: list[Box], other: list[Box]) -> None:
    found = geometry.iou(tensor(one), tensor(other))
    assert found.shape == (len(one), len(other))
    for i, a in enumerate(one):
        for j, b in enumerate(other):
            assert found[i, j].item() == pytest.approx(slow_iou(a, b), abs=1e-12)


def slow_nms(found: list[Box], scores: list[float], threshold: float) -> list[int]:
    kept: list[int] = []
    for i in sorted(range(len(found)), key=lambda i: (-scores[i], i)):
        if all(slow_iou(found[i], found[j]) <= threshold + 1e-12 for j in kept):
            kept.append(i)
    return kept


scored = st.lists(st.tuples(box(1), st.integers(0, 3), st.integers(0, 2)), max_size=8)


@settings(max_examples=60)
@given(scored, st.sampled_from([0.0, 0.3, 0.55]))
def test_nms_keeps_what_brute_force_keeps(things: list[tuple[Box, int, int]], threshold: float) -> None:
    found, scores = [thing[0] for thing in things], [float(thing[1]) for thing in things]
    kept = geometry.nms(tensor(found), torch.tensor(scores), threshold)
    assert kept.tolist() == slow_nms(found, scores, threshold)


@settings(max_examples=60)
@given(scored)
def test_classes_do_not_suppress_each_other(things: list[tuple[Box, int, int]]) -> None:
    found, classes = [thing[0] for thing in things], torch.tensor([thing[2] for thing in things], dtype=torch.int64)
    scores = [float(thing[1]) for thing in things]
    kept = geometry.nms_of_classes(tensor(found), torch.tensor(scores), classes, 0.3)
    expected = set()
    for kind in range(3):
        places = [i for i, thing in enumerate(things) if thing[2] == kind]
        expected |= {places[i] for i in slow_nms([found[i] for i in places], [scores[i] for i in places], 0.3)}
    assert set(kept.tolist()) == expected
    assert [scores[i] for i in kept.tolist()] == sorted((scores[i] for i in kept.tolist()), reverse=True)


@settings(max_examples=60)
@given(st.lists(box(1), min_size=1, max_size=7), st.lists(box(1), max_size=3))
def test_matching_gives_each_box_its_best_anchor_and_anchors_their_best_box(
    anchors: list[Box], found: list[Box]
) -> None:
    matched = geometry.match(tensor(anchors), tensor(found), 0.2, 0.4).tolist()
    overlaps = geometry.iou(tensor(anchors), tensor(found)).tolist()
    expected = []
    for row in overlaps:
        best = max(row, default=0.0)
        expected.append(row.index(best) if row and best >= 0.4 else BACKGROUND if best < 0.2 else IGNORED)

    def middle(b: Box) -> tuple[float, float]:
        return (b[0] + b[2]) / 2, (b[1] + b[3]) / 2

    for j, b in enumerate(found):
        ranks = [(-overlaps[i][j], math.dist(middle(a), middle(b))) for i, a in enumerate(anchors)]
        best_rank = min(ranks)
        candidates = [i for i, rank in enumerate(ranks) if rank[0] == best_rank[0] and rank[1] <= best_rank[1] + 1e-9]
        assert j in (matched[i] for i in candidates) or any(matched[i] > j for i in candidates)
        for i in candidates:
            expected[i] = matched[i]  # whichever of equally good ones was taken
    assert matched == expected


def test_a_box_that_no_anchor_overlaps_takes_the_nearest() -> None:
    anchors = tensor([(0, 0, 1, 1), (4, 4, 5, 5)])
    assert geometry.match(anchors, tensor([(2.75, 2.75, 3.75, 3.75)]), 0.4, 0.5).tolist() == [BACKGROUND, 0]


@settings(max_examples=60)
@given(box(1), box(1))
def test_decoding_undoes_encoding(one: Box, anchor: Box) -> None:
    offsets = geometry.encode(tensor([one]), tensor([anchor]))
    w, h = anchor[2] - anchor[0], anchor[3] - anchor[1]
    expected = [
        ((one[0] + one[2]) - (anchor[0] + anchor[2])) / 2 / w,
        ((one[1] + one[3]) - (anchor[1] + anchor[3])) / 2 / h,
        math.log((one[2] - one[0]) / w),
        math.log((one[3] - one[1]) / h),
    ]
    torch.testing.assert_close(offsets, tensor([tuple(expected)]))  # type: ignore[list-item]
    torch.testing.assert_close(geometry.decode(offsets, tensor([anchor])), tensor([one]))


def test_an_untrained_networks_offsets_do_not_overflow() -> None:
    wild = geometry.decode(torch.full((1, 4), 1e4), torch.tensor([[0.0, 0, 2, 2]]))
    assert wild.isfinite().all()
    assert geometry.clip(wild, 10, 20).tolist() == [[20, 10, 20, 10]]


def slow_roi_align(plane: list[list[float]], b: Box, size: int, stride: float, samples: int) -> list[list[float]]:
    def at(y: float, x: float) -> float:
        y, x = min(max(y, 0.0), len(plane) - 1.0), min(max(x, 0.0), len(plane[0]) - 1.0)
        total = 0.0
        for row in range(len(plane)):
            for column in range(len(plane[0])):
                total += max(0.0, 1 - abs(row - y)) * max(0.0, 1 - abs(column - x)) * plane[row][column]
        return total

    def cell(i: int, j: int) -> float:
        n = size * samples
        ys = [(b[1] + (b[3] - b[1]) * (i * samples + k + 0.5) / n) / stride - 0.5 for k in range(samples)]
        xs = [(b[0] + (b[2] - b[0]) * (j * samples + k + 0.5) / n) / stride - 0.5 for k in range(samples)]
        return sum(at(y, x) for y in ys for x in xs) / samples**2

    return [[cell(i, j) for j in range(size)] for i in range(size)]


@settings(max_examples=25)
@given(st.lists(st.tuples(box(), st.integers(0, 1)), min_size=1, max_size=3), st.sampled_from([1.0, 2.0, 3.0]))
def test_roi_align_is_the_mean_of_bilinear_points(things: list[tuple[Box, int]], stride: float) -> None:
    maps = torch.rand(2, 2, 5, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    images = torch.tensor([thing[1] for thing in things])
    found = geometry.roi_align(maps, tensor([thing[0] for thing in things]), images, 3, stride)
    assert found.shape == (len(things), 2, 3, 3)
    for i, (b, image) in enumerate(things):
        for channel in range(2):
            expected = slow_roi_align(maps[image, channel].tolist(), b, 3, stride, 2)
            torch.testing.assert_close(found[i, channel], torch.tensor(expected, dtype=torch.float64))


def test_roi_align_can_be_differentiated_by_the_map() -> None:
    maps = torch.rand(1, 1, 4, 4, dtype=torch.float64, requires_grad=True)
    b, images = tensor([(0.5, 1, 3.25, 4)]), torch.tensor([0])
    assert torch.autograd.gradcheck(lambda m: geometry.roi_align(m, b, images, 2, 1.0), (maps,))


def test_nothing_comes_of_nothing() -> None:
    none, classes = torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64)
    assert geometry.nms_of_classes(none, torch.zeros(0), classes, 0.5).shape == (0,)
    assert geometry.match(torch.ones(3, 4), none, 0.4, 0.5).tolist() == [BACKGROUND] * 3
    assert geometry.roi_align(torch.ones(1, 2, 4, 4), none, classes, 3, 1.0).shape == (0, 2, 3, 3)
