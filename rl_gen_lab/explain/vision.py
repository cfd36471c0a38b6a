"""What is explained of a vision model: the score of one true object; of a captioner the attention of each word.

All scores are gaps: of the object's category over the background, in logits.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.data.dataset import Split
from rl_gen_lab.explain.model import Explained, Score
from rl_gen_lab.training.task import Task
from rl_gen_lab.vision.boxes import iou
from rl_gen_lab.vision.captioning.attention_map import attention_grid
from rl_gen_lab.vision.captioning.task import CaptioningTask
from rl_gen_lab.vision.detection.one_stage import OneStageTask
from rl_gen_lab.vision.detection.two_stage import TwoStageTask
from rl_gen_lab.vision.recognition.task import RecognitionTask
from rl_gen_lab.vision.segmentation.task import SegmentationTask


@dataclass(frozen=True)
class Shown:
    """An object in an image. image: (3, H, W) uint8; mask: (H, W) bool, of all objects of its category there."""

    index: int
    image: Tensor
    category: int
    box: Tensor
    own_mask: Tensor
    mask: Tensor


def objects(split: Split, category: int, count: int) -> Iterator[Shown]:
    """Yield the first object of a category in each of at most `count` images, evenly spaced over the split."""
    there = [i for i in range(len(split)) if any(item.category == category for item in split.labels[i].objects)]
    step = max(1, len(there) // max(count, 1))
    for index in there[::step][:count]:
        boxes, categories = split.boxes(index)
        (rows,) = torch.nonzero(categories == category, as_tuple=True)
        masks = split.masks(index)
        whole = masks[rows].any(0)
        yield Shown(index, split.images[index], category, boxes[rows[0]], masks[rows[0]], whole)


def explained(task: Task, shown: Shown, baseline: Tensor) -> Explained:
    """Return the question for an object: its score, of images (B, 3, H, W). Raises: ConfigError for other models."""
    return Explained(task.network, _score(task, shown), baseline)


def _score(task: Any, shown: Shown) -> Score:
    own = 1 + shown.category
    if isinstance(task, SegmentationTask):
        mask = shown.own_mask

        def of_pixels(network: nn.Module, images: Tensor, chosen: Tensor) -> Tensor:
            logits = network(images)
            return (logits[:, own] - logits[:, 0])[:, mask].mean(1)

        return of_pixels
    if isinstance(task, OneStageTask):
        best = int(iou(shown.box[None], task.network.anchors)[0].argmax())

        def of_anchor(network: nn.Module, images: Tensor, chosen: Tensor) -> Tensor:
            logits, _ = network(images)
            return logits[:, best, own] - logits[:, best, 0]

        return of_anchor
    if isinstance(task, TwoStageTask):

        def of_box(network: Any, images: Tensor, chosen: Tensor) -> Tensor:
            boxes = shown.box.expand(len(images), 4)
            logits: Tensor = network.classify_boxes(network.features(images), boxes, torch.arange(len(images)))[0]
            return logits[:, own] - logits[:, 0]

        return of_box
    if isinstance(task, RecognitionTask):
        return lambda network, images, chosen: network(images)[0][:, shown.category]
    raise ConfigError("explained are detectors, segmenters, classifiers and, by their attention, captioners")


LIKELIEST = 5  # anchors whose mean is the score of a category in a whole image


def category_scores(task: Any, images: Tensor) -> Tensor:
    """Return the score of each category in whole images (B, 3, H, W), (B, K): its logit less the background's.

    Of detectors by anchors the mean over the likeliest ones, of segmenters the mean over pixels. Raises: ConfigError.
    """
    if isinstance(task, TwoStageTask):
        task.network.features(images)
        raise ConfigError("detectors by regions have no score of whole images: name a layer by --search.layer")
    found = task.network(images)
    if isinstance(task, SegmentationTask):
        return (found[:, 1:] - found[:, :1]).flatten(2).mean(2)
    if isinstance(task, OneStageTask):
        gaps = found[0][:, :, 1:] - found[0][:, :, :1]
        return gaps.topk(min(LIKELIEST, gaps.shape[1]), 1).values.mean(1)
    return cast(Tensor, found[0])


@torch.no_grad()
def attention(task: CaptioningTask, image: Tensor, category: str) -> Tensor | None:
    """Return where a captioner looks when it says the name of a category, (1, H, W); None where it does not say it.

    The mean over these words, each position of the map spread over its pixels. image: (3, H, W) uint8.
    """
    (sentence,) = task.generate(image[None])
    words = [task.vocabulary.words[word] for word in sentence.words]
    rows = [row for row, word in enumerate(words) if word == category]
    if not rows:
        return None
    grid = torch.from_numpy(attention_grid(task, sentence.attention)[rows].mean(0))
    return nn.functional.interpolate(grid[None, None], image.shape[1:], mode="nearest")[0]
