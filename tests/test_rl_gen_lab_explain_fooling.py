"""Fooling images: any image for any answer, of whole levels, with the least budget by which one is found."""

from __future__ import annotations

import caption_models
import pytest
import torch
import vision_data
from torch import Tensor, nn

from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.explain.fooling import answer, class_margins, fool, loss_of, sentence_margins
from rl_gen_lab.vision.recognition.config import ClassifyConfig
from rl_gen_lab.vision.recognition.task import RecognitionTask


def classifier() -> RecognitionTask:
    torch.manual_seed(0)
    task = RecognitionTask(ClassifyConfig(choices=caption_models.SMALL), vision_data.dataset(), caption_models.CPU)
    task.network.eval()
    with torch.no_grad():
        task.network.classes.weight *= 20
    return task


def image() -> Tensor:
    return torch.randint(0, 256, (3, vision_data.H, vision_data.W), dtype=torch.uint8)


class Sum(nn.Module):
    """A number that rises with every pixel."""

    def forward(self, images: Tensor) -> Tensor:
        return images.mean((1, 2, 3))[:, None] / 8 - 12.6


def test_the_least_budget_is_found_and_nothing_is_changed_where_nothing_need_be() -> None:
    dark, bright = (torch.full((1, 4, 4), value, dtype=torch.uint8) for value in (95, 110))
    found = fool(Sum(), dark)  # 100.8 is needed: six levels more, so four are too few
    assert found.levels == 8 and found.image.dtype == torch.uint8
    assert float(Sum()(found.image[None].float())) > 0
    assert int((found.image.int() - dark.int()).abs().max()) <= 8
    same = fool(Sum(), bright)
    assert same.levels == 0 and torch.equal(same.image, bright)
    assert fool(Sum(), dark, most=3).levels is None


def test_the_loss_is_below_zero_exactly_where_all_margins_are_above() -> None:
    margins = torch.tensor([[0.1, 2.0], [-0.1, 5.0], [-1.0, -3.0], [0.0, 1.0]])
    loss = loss_of(lambda images: margins)(torch.zeros(4, 1, 1, 1), torch.arange(4))
    assert (loss < 0).tolist() == [True, False, False, False]
    assert loss[2] > loss[1]


@pytest.mark.parametrize("name", ["ball", "paddle"])
def test_a_classifier_says_the_category_that_is_asked_for_and_no_other(name: str) -> None:
    torch.manual_seed(1)
    task = classifier()
    found = fool(class_margins(task, name), image())
    assert found.levels is not None and answer(task, found.image) == name


def test_a_captioner_says_of_one_image_what_it_says_of_another() -> None:
    task = caption_models.task("attention")
    torch.manual_seed(5)
    net = task.network.eval()
    with torch.no_grad():  # weights so large that no sentence is a matter of course
        for weight in (net.head.weight, net.lstm.weight_ih, net.lstm.weight_hh, net.embed.weight, net.start.weight):
            weight.copy_(0.5 * torch.randn_like(weight))
    images = torch.randint(0, 256, (8, 3, vision_data.H, vision_data.W), dtype=torch.uint8)
    images[1::2] //= 8
    said = [answer(task, image) for image in images]
    short = [number for number, text in enumerate(said) if not text.endswith("...")]
    pairs = [(i, j) for i in range(8) for j in short if said[i] != said[j]]
    assert pairs, said
    reached = 0
    for i, j in pairs[:4]:
        found = fool(sentence_margins(task, said[j]), images[i])
        if found.levels is not None:
            assert answer(task, found.image) == said[j]
            reached += 1
            break  # each try takes seconds
    assert reached


def test_what_cannot_be_said_is_refused() -> None:
    task, caption = classifier(), caption_models.task("attention")
    with pytest.raises(ConfigError, match=r"no category 'bal'; there are ball, paddle\. Did you mean 'ball'"):
        class_margins(task, "bal")
    with pytest.raises(ConfigError, match="has no word 'padle'"):
        sentence_margins(caption, "padle high.")
    with pytest.raises(ConfigError, match="at least one word"):
        sentence_margins(caption, " ")
    with pytest.raises(ConfigError, match="--to is for classifiers"):
        class_margins(caption, "ball")
    with pytest.raises(ConfigError, match="--say is for captioners"):
        sentence_margins(task, "ball")
