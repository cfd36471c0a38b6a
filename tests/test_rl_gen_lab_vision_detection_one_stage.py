"""One-stage detectors: eight images by heart, objects matched with anchors."""

from __future__ import annotations

import pytest
import torch
import vision_data

from rl_gen_lab.backbones.config import BackboneConfig
from rl_gen_lab.vision.boxes import decode, encode
from rl_gen_lab.vision.detection.config import DetectConfig
from rl_gen_lab.vision.detection.one_stage import OneStageTask

CPU = torch.device("cpu")


SMALL = BackboneConfig(width=16, stages=2, depth=1, norm="batch")


def task(model: str) -> OneStageTask:
    torch.manual_seed(0)
    return OneStageTask(DetectConfig(model, choices=SMALL, shapes=3), vision_data.dataset(), CPU)  # type: ignore[arg-type]


@pytest.mark.slow
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


def test_untrained_networks_find_boxes_inside_the_image() -> None:
    detect = task("ssd")
    detect.network.eval()
    for found in detect.predict(vision_data.eight().images):
        assert (found.boxes >= 0).all() and (found.boxes[:, 2] <= 32).all() and (found.boxes[:, 3] <= 40).all()
        assert found.scores.tolist() == sorted(found.scores.tolist(), reverse=True)
    assert decode(torch.zeros(1, 4), torch.tensor([[1.0, 2, 3, 5]])).tolist() == [[1, 2, 3, 5]]
