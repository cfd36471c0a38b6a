"""Detectors: eight pictures by heart, anchors where they belong, metrics derivable on paper and against brute force."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
import vision_data
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from rl_gen_lab.backbones.config import BackboneConfig
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.vision.box_metrics import Detections, average_precision, center_f1, count_hits
from rl_gen_lab.vision.boxes import decode, encode
from rl_gen_lab.vision.detection.anchors import cluster_shapes
from rl_gen_lab.vision.detection.common import box_loss
from rl_gen_lab.vision.detection.config import DetectConfig
from rl_gen_lab.vision.detection.models import make_detector
from rl_gen_lab.vision.detection.one_stage import OneStageNetwork, OneStageTask

CPU = torch.device("cpu")
SMALL = BackboneConfig(width=16, stages=2, depth=1, norm="batch")


def task(model: str) -> OneStageTask:
    torch.manual_seed(0)
    return OneStageTask(DetectConfig(model, choices=SMALL, shapes=3), vision_data.dataset(), CPU)  # type: ignore[arg-type]


@pytest.mark.parametrize("model", ["ssd", "yolo"])
def test_eight_pictures_are_learned_by_heart(model: str) -> None:
    loss, found = vision_data.learn_by_heart(task(model), 100, 5e-3)
    assert loss < 0.03
    assert found["f1"] == found["f1/ball"] == found["f1/paddle"] == 1.0
    assert found["ap50"] == pytest.approx(1.0) and found["ap"] > 0.9


@pytest.mark.parametrize("model", ["ssd", "yolo"])
def test_every_object_has_an_anchor_and_perfect_answers_have_no_loss(model: str) -> None:
    detect = task(model)
    split = vision_data.eight()
    anchors = detect.network.anchors
    logits, offsets = torch.zeros(8, len(anchors), 3), torch.zeros(8, len(anchors), 4)
    logits[..., 0] = 30.0
    for row in range(8):
        boxes, kinds = split.boxes(row)
        matched = detect.assign(boxes)
        assert set(range(len(boxes))) <= set(matched.tolist())
        for anchor, thing in enumerate(matched.tolist()):
            if thing >= 0:
                logits[row, anchor, 1 + kinds[thing]] = 60.0
                offsets[row, anchor] = encode(boxes[thing], anchors[anchor])
    detect.network.forward = lambda images: (logits, offsets)  # type: ignore[method-assign]
    assert detect.loss(split, torch.arange(8))["loss"] < 1e-6
    for found, row in zip(detect.predict(split.images), range(8), strict=True):
        boxes, kinds = split.boxes(row)
        order = kinds.argsort()
        mine = found.classes.argsort()
        assert found.classes[mine].tolist() == kinds[order].tolist()
        torch.testing.assert_close(found.boxes[mine], boxes[order], rtol=0, atol=1e-3)


def test_a_yolo_s_object_belongs_to_the_cell_of_its_centre() -> None:
    detect = task("yolo")
    last = detect.network.backbone.feature_maps[-1]
    assert (last.stride, last.width) == (4, 8)
    matched = detect.assign(torch.tensor([[5.0, 9, 7, 13]]))  # centre (6, 11): column 1, row 2
    assert matched.nonzero().flatten().tolist() != [] and int((matched == 0).nonzero()) == 2 * 8 + 1
    middle = detect.network.anchors[2 * 8 + 1]
    assert ((middle[:2] + middle[2:]) / 2).tolist() == [6, 10]


def test_shapes_are_those_of_the_training_boxes() -> None:
    shapes = cluster_shapes(vision_data.dataset().splits["train"], 2)
    found = sorted(tuple(round(side, 3) for side in shape) for shape in shapes.tolist())
    assert found == [(2, 4), (4, 12)]
    assert len(cluster_shapes(vision_data.dataset().splits["train"], 6)) == 2, "no more than there are"


def test_untrained_networks_find_boxes_inside_the_image() -> None:
    detect = task("ssd")
    detect.network.eval()
    for found in detect.predict(vision_data.eight().images):
        assert (found.boxes >= 0).all() and (found.boxes[:, 2] <= 32).all() and (found.boxes[:, 3] <= 40).all()
        assert found.scores.tolist() == sorted(found.scores.tolist(), reverse=True)
    assert decode(torch.zeros(1, 4), torch.tensor([[1.0, 2, 3, 5]])).tolist() == [[1, 2, 3, 5]]


# ---- metrics


def boxes_at(places: list[tuple[int, int]]) -> torch.Tensor:
    return torch.tensor([(x - 1.0, y - 2.0, x + 1.0, y + 2.0) for x, y in places]).reshape(-1, 4)


place = st.tuples(st.integers(0, 9), st.integers(0, 9))


@settings(max_examples=60, deadline=None)
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


def test_settings_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ConfigError, match="low_iou"):
        DetectConfig(low_iou=0.6, high_iou=0.5)


@pytest.mark.parametrize("model", ["ssd", "yolo", "faster-rcnn", "mask-rcnn"])
def test_a_detector_that_knows_positions_tells_apart_what_looks_the_same(model: Any) -> None:
    still = torch.full((1, 3, 40, 32), 100, dtype=torch.uint8)
    spread = []
    for octaves in (0, 3):
        config = DetectConfig(
            model, choices=BackboneConfig(width=4, stages=2, depth=1, norm="batch"), positions=octaves
        )
        torch.manual_seed(0)
        network = make_detector(config, vision_data.dataset(), torch.device("cpu")).network.eval()
        network.requires_grad_(False)
        head = network.head if isinstance(network, OneStageNetwork) else network.proposer
        nn.init.normal_(head.weight)
        features = network.backbone.maps(still) if isinstance(network, OneStageNetwork) else network.features(still)
        seen = head(network.positions(features[-1])) if isinstance(network, OneStageNetwork) else head(features[-1])
        middle = seen[:, :, 3:-3, 3:-3]  # borders are seen to be borders
        spread.append(float((middle - middle[:, :, :1, :1]).abs().amax()))
        assert "positions.waves" not in network.state_dict(), "runs of before can be loaded"
    assert spread[1] > 10 * spread[0]  # what is left without positions comes from the borders


def test_a_seldom_class_counts_by_the_root_of_how_seldom_it_is() -> None:
    classes = torch.tensor([[1] * 9 + [2] + [0] * 6])
    logits, offsets = torch.zeros(1, 16, 3, requires_grad=True), torch.zeros(1, 16, 4, requires_grad=True)
    places, used = torch.ones(1, 16, 4), torch.ones(1, 16, dtype=torch.bool)
    losses = box_loss(logits, offsets, classes, places, used)
    losses["loss"].backward()
    assert logits.grad is not None and offsets.grad is not None
    assert logits.grad[0, 9, 2] / logits.grad[0, 0, 1] == pytest.approx(3.0)
    assert offsets.grad[0, 9, 0] / offsets.grad[0, 0, 0] == pytest.approx(3.0)
    same = box_loss(logits, offsets, classes.clamp(max=1), places, used)
    assert float(losses["box"]) == pytest.approx(float(same["box"])), "in the mean a box counts as before"
