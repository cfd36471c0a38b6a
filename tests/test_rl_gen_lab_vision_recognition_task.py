"""Classification and localization: eight images by heart, metrics by hand, what is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import vision_data

from rl_gen_lab.backbones.config import BackboneConfig
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.vision.recognition.config import ClassifyConfig, LocalizeConfig
from rl_gen_lab.vision.recognition.task import RecognitionTask, presence_metrics

CPU = torch.device("cpu")


SMALL = BackboneConfig(width=16, stages=2, depth=1, norm="batch")


def task(config: ClassifyConfig | LocalizeConfig) -> RecognitionTask:
    torch.manual_seed(0)
    return RecognitionTask(replace(config, choices=SMALL), vision_data.dataset(), CPU)


def test_eight_pictures_are_classified_by_heart() -> None:
    loss, found = vision_data.learn_by_heart(task(ClassifyConfig()), 60, 5e-3)
    assert loss < 0.02
    assert found == {
        "balanced_accuracy": 1.0,
        "accuracy": 1.0,
        "balanced_accuracy/ball": 1.0,
        "balanced_accuracy/paddle": 1.0,
    }


def test_the_ball_of_eight_pictures_is_found_by_heart() -> None:
    loss, found = vision_data.learn_by_heart(task(LocalizeConfig()), 120, 1e-2)
    assert loss < 0.1
    assert found["f1"] == found["f1/ball"] == found["balanced_accuracy"] == 1.0
    assert found["mean_iou"] > 0.8 and found["ap50"] == pytest.approx(1.0)


def test_accuracy_is_balanced_between_pictures_with_and_without() -> None:
    truth = torch.tensor([[1.0, 1], [1, 1], [1, 1], [0, 1]])
    scores = torch.tensor([[0.9, 0.9], [0.9, 0.9], [0.2, 0.9], [0.1, 0.1]])
    found = presence_metrics(scores, truth, ("ball", "paddle"))
    assert found["balanced_accuracy/ball"] == pytest.approx((2 / 3 + 1) / 2)
    assert found["balanced_accuracy/paddle"] == pytest.approx(3 / 4)
    assert found["accuracy"] == pytest.approx(6 / 8)
    assert found["balanced_accuracy"] == pytest.approx((5 / 6 + 3 / 4) / 2)


def test_pictures_without_the_object_have_no_box_to_learn() -> None:
    made = task(LocalizeConfig())
    without = torch.tensor([3])
    assert made.truth(vision_data.eight(), 3)[1] is None
    losses = made.loss(vision_data.eight(), without)
    assert losses["position"] == losses["box"] == 0 and losses["loss"] == losses["class"] > 0
    losses["loss"].backward()


def test_an_object_that_is_no_category_is_refused_with_a_suggestion() -> None:
    with pytest.raises(ConfigError, match=r"'bal'.*ball, paddle.*ball"):
        task(LocalizeConfig(object="bal"))
