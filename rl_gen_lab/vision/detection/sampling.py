"""The boxes of an image from which the second stage learns in an update."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from rl_gen_lab.vision.boxes import BACKGROUND, clip, iou, match
from rl_gen_lab.vision.detection.anchors import anchor_targets

JITTERED = 2  # copies of each true box, moved and stretched a little, among the candidates
NEAR_IOU = 0.1  # overlap from which a background box is near an object


class Samples(NamedTuple):
    """Sampled boxes: boxes (S, 4) [px], classes (S,), offsets (S, 4), used (S,) bool, objects (S,) int64 of `match`."""

    boxes: Tensor
    classes: Tensor
    offsets: Tensor
    used: Tensor
    objects: Tensor


def sample_boxes(
    candidates: Tensor, boxes: Tensor, categories: Tensor, count: int, limits: tuple[float, float]
) -> Samples:
    """Sample `count` of the candidates (N, 4): up to half with objects, up to a quarter near them, the rest anywhere.

    boxes, categories: (M, 4) and (M,) of the objects; limits: low and high IoU of `match`. Where there are too few
    candidates, unused boxes fill the rest.
    """
    matched = match(candidates, boxes, *limits)
    is_near = iou(candidates, boxes).amax(1) > NEAR_IOU if len(boxes) else torch.zeros_like(matched, dtype=torch.bool)
    shuffled = torch.randperm(len(candidates), device=candidates.device)
    is_background = matched[shuffled] == BACKGROUND
    chosen = (matched >= 0).nonzero()[:, 0]
    if len(chosen) > count // 2:  # each class equally often, so that a hundred bricks do not crowd out a ball
        classes = categories[matched[chosen]]
        rarity = 1 / classes.bincount()[classes]
        chosen = chosen[torch.multinomial(rarity, count // 2)]
    chosen = torch.cat((chosen, shuffled[is_background & is_near[shuffled]][: count // 4]))
    anywhere = shuffled[is_background & ~is_near[shuffled]]
    chosen = torch.cat((chosen, anywhere))[:count]
    classes, offsets, used = anchor_targets(matched[chosen], boxes, categories, candidates[chosen])
    missing = count - len(chosen)

    def padded(part: Tensor) -> Tensor:
        return torch.cat((part, part.new_zeros(missing, *part.shape[1:])))

    unused = candidates.new_tensor([0, 0, 1, 1]).expand(missing, 4)
    sampled = torch.cat((candidates[chosen], unused))
    return Samples(sampled, padded(classes), padded(offsets), padded(used), padded(matched[chosen]))


def jitter(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Return boxes (M, 4) and JITTERED copies of each, moved and stretched by about a fifth of their sides.

    Copies are clipped to the image of `size` (H, W); those of less than a pixel are dropped.
    """
    sides = (boxes[:, 2:] - boxes[:, :2]).repeat(JITTERED, 1)
    shift, stretch = 0.2 * torch.randn(2, len(sides), 2, device=boxes.device)
    copies = boxes.repeat(JITTERED, 1) + torch.cat((shift * sides, (shift + stretch) * sides), 1)
    copies = clip(copies, *size)
    return torch.cat((boxes, copies[((copies[:, 2:] - copies[:, :2]) >= 1).all(1)]))
