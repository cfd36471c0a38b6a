"""The number that is explained of a vision model is that of the object, whatever the model."""

from __future__ import annotations

import pytest
import torch
from pong_models import folder, run

from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.data import dataset
from rl_gen_lab.explain import vision
from rl_gen_lab.training.load import load_task
from rl_gen_lab.vision.boxes import iou


def shown() -> vision.Shown:
    (one,) = vision.objects(dataset.load(folder()).splits["train"], 1, 1)
    return one


def numbers(task: str) -> tuple[torch.Tensor, object, vision.Shown]:
    made, one = load_task(run(task), task), shown()
    model = vision.explained(made, one, torch.zeros(3, 210, 160))
    return model.scores(one.image[None].float(), torch.zeros(1, dtype=torch.int64)), made, one


@pytest.mark.slow
def test_a_segmenter_is_asked_for_the_pixels_of_the_object() -> None:
    number, task, one = numbers("segment")
    logits = task.network(one.image[None])  # type: ignore[attr-defined]
    expected = (logits[0, 2] - logits[0, 0])[one.own_mask].mean()
    torch.testing.assert_close(number[0], expected)


@pytest.mark.slow
def test_a_detector_is_asked_for_the_anchor_that_fits_best() -> None:
    number, task, one = numbers("detect")
    logits, _ = task.network(one.image[None])  # type: ignore[attr-defined]
    best = iou(one.box[None], task.network.anchors)[0].argmax()  # type: ignore[attr-defined]
    torch.testing.assert_close(number[0], logits[0, best, 2] - logits[0, best, 0])


@pytest.mark.slow
def test_objects_are_shown_with_their_masks_and_other_models_are_refused() -> None:
    one = shown()
    x1, y1, x2, y2 = one.box.int().tolist()
    assert one.own_mask[y1:y2, x1:x2].any() and one.own_mask.sum() == one.own_mask[y1:y2, x1:x2].sum()
    with pytest.raises(ConfigError, match="explained are detectors"):
        vision.explained(load_task(run("caption"), "caption"), one, torch.zeros(3, 210, 160))


@pytest.mark.slow
@pytest.mark.parametrize("task", ["detect", "segment"])
def test_whole_images_have_a_score_for_each_category(task: str) -> None:
    made = load_task(run(task), task)
    images = dataset.load(folder()).splits["train"].images[:2]
    found = vision.category_scores(made, images)
    logits = made.network(images)
    if task == "segment":
        expected = torch.stack([(logits[:, 1 + k] - logits[:, 0]).mean((1, 2)) for k in range(3)], 1)
    else:
        gaps = logits[0][:, :, 1:] - logits[0][:, :, :1]
        expected = torch.stack([gaps[:, :, k].sort(1).values[:, -5:].mean(1) for k in range(3)], 1)
    torch.testing.assert_close(found, expected)
