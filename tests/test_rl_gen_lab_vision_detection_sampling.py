"""The boxes that the second stage learns from."""

from __future__ import annotations

import torch
import vision_data

from rl_gen_lab.backbones.config import BackboneConfig
from rl_gen_lab.vision.boxes import encode, iou
from rl_gen_lab.vision.detection.common import box_loss
from rl_gen_lab.vision.detection.config import DetectConfig, Model
from rl_gen_lab.vision.detection.models import make_detector
from rl_gen_lab.vision.detection.sampling import jitter
from rl_gen_lab.vision.detection.two_stage import SAMPLES, TwoStageTask

CPU = torch.device("cpu")


SMALL = BackboneConfig(width=16, stages=2, depth=1, norm="batch")


def task(model: Model) -> TwoStageTask:
    torch.manual_seed(0)
    made = make_detector(DetectConfig(model, choices=SMALL, shapes=3, proposals=16), vision_data.dataset(), CPU)
    assert isinstance(made, TwoStageTask)
    return made


def test_what_is_sampled_is_on_objects_near_them_and_elsewhere() -> None:
    made = task("faster-rcnn")
    boxes, kinds = vision_data.eight().boxes(0)
    candidates = torch.cat((boxes + torch.tensor([1.0, 4, 1, 4]), torch.tensor([[0.0, 0, 3, 3]]).expand(90, 4)))
    sampled, classes, places, used, matched = made._sample(candidates, boxes, kinds)
    assert sampled.shape == (SAMPLES, 4)
    positive = classes > 0
    assert 2 <= int(positive.sum()) <= SAMPLES // 2 and bool(used[positive].all())
    overlaps = iou(sampled, boxes)
    assert (classes[positive] == 1 + kinds[matched[positive]]).all()
    assert (overlaps[positive].gather(1, matched[positive][:, None]) >= 0.5).all()
    torch.testing.assert_close(places[positive], encode(boxes[matched[positive]], sampled[positive]))
    assert (overlaps[~positive & used].amax(1) < 0.3).all()


def test_a_ball_is_not_lost_among_a_hundred_bricks() -> None:
    made = task("faster-rcnn")
    bricks = torch.tensor([[4.0 * x, 3 * y, 4 * x + 4, 3 * y + 3] for x in range(8) for y in range(12)])
    boxes = torch.cat((bricks, torch.tensor([[10.0, 37, 12, 40]])))
    kinds = torch.tensor([1] * len(bricks) + [0])
    for _ in range(20):
        _, classes, _, _, _ = made._sample(torch.zeros(0, 4), boxes, kinds)
        assert int((classes == 1).sum()) >= 1 and int((classes > 0).sum()) == SAMPLES // 2


def test_few_candidates_are_filled_up_with_boxes_that_do_not_count() -> None:
    made = task("faster-rcnn")
    sampled, classes, _, used, _ = made._sample(torch.zeros(0, 4), torch.zeros(0, 4), torch.zeros(0).long())
    assert sampled.shape == (SAMPLES, 4) and not used.any() and not classes.any()
    logits, offsets = torch.zeros(1, SAMPLES, 3), torch.zeros(1, SAMPLES, 4)
    loss = box_loss(logits, offsets, classes[None], torch.zeros_like(offsets), used[None])
    assert loss["loss"] == 0


def test_jittered_copies_stay_near_their_box_and_inside_the_image() -> None:
    torch.manual_seed(0)
    boxes = torch.tensor([[4.0, 6, 14, 16], [0, 0, 10, 10]])
    jittered = torch.cat([jitter(boxes, (20, 16))[2:] for _ in range(50)])
    assert torch.equal(jitter(boxes, (20, 16))[:2], boxes)
    assert (jittered >= 0).all() and (jittered[:, 2] <= 16).all() and (jittered[:, 3] <= 20).all()
    overlaps = iou(jittered, boxes).amax(1)
    assert overlaps.mean() > 0.5 and overlaps.min() < 0.8
    assert len(jitter(torch.zeros(0, 4), (20, 16))) == 0
