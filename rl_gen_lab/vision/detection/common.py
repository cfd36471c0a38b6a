"""What every detector shares: settings, common shapes, the loss of boxes, suppression, the figures of a split."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from rl_gen_lab.backbones.config import BackboneConfig
from rl_gen_lab.backbones.convolutional import FeatureMap
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.data.dataset import Dataset, Sizes, Split
from rl_gen_lab.vision.detection.boxes import IGNORED, clip, encode, nms_of_classes
from rl_gen_lab.vision.detection.metrics import Found, average_precision, centre_f1, run_lengths
from rl_gen_lab.vision.smoothing import check_smoothing

EVALUATION_BATCH = 8
NEGATIVES = 3  # background boxes in the loss for every box with an object, the hardest first
FEWEST_NEGATIVES = 16  # of an image, however few objects it shows

Model = Literal["sliding-window", "rcnn", "fast-rcnn", "faster-rcnn", "mask-rcnn", "ssd", "yolo"]


@dataclass(frozen=True)
class DetectConfig:
    """Object detection."""

    # What each does: rl_gen_lab/vision/detection/models.py.
    model: Model = "ssd"
    # Objects are 2 to 20 pixels: the backbone's coarsest map should have a stride of at most 4.
    backbone: str = "resnet"
    choices: BackboneConfig = field(default_factory=lambda: BackboneConfig(width=16, stages=2, depth=2, norm="batch"))
    # Octaves of sines and cosines that tell a position where it is (0: none; not for crops). For objects that touch
    # others of their kind, such as bricks: only their place says where one ends.
    positions: int = 0
    # Shapes of windows and anchors: the commonest ones of the training set (yolo has one only).
    shapes: int = 6
    # Boxes of an image that a second stage judges, at most: more than there are objects, so 160 for Breakout with 110
    # (sliding-window judges every window).
    proposals: int = 64
    # Width and height [px] to which windows (sliding-window) and proposals (rcnn) are resized.
    crop: int = 16
    # Cells a side of the grid on which the feature map is read inside a proposal, for its class and its mask.
    cells: int = 4
    mask_cells: int = 7
    # Overlap with a box from which an anchor has to find it, and below which it is background.
    high_iou: float = 0.5
    low_iou: float = 0.3
    # Boxes of one class that overlap by more than this are one object (of windows: than 0.1, for those that show the
    # same small object may overlap by little more). Sprites touch but hardly ever overlap; a box that lies between two
    # touching bricks overlaps each by a third.
    nms_iou: float = 0.3
    # Least score of what is reported as found, and of what the precision-recall curve is drawn from.
    score: float = 0.5
    least_score: float = 0.02
    # Objects of an image, at most.
    most: int = 200
    # Share of a class's certainty that is spread over all classes in the loss.
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.low_iou <= self.high_iou <= 1:
            raise ConfigError("0 <= low_iou <= high_iou <= 1")
        if self.positions < 0:
            raise ConfigError(f"positions must be at least 0, not {self.positions}")
        for name in ("nms_iou", "score", "least_score"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} must be between 0 and 1, not {getattr(self, name)}")
        check_smoothing(self.label_smoothing)
        for name in ("shapes", "proposals", "crop", "cells", "mask_cells", "most"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.crop < 4:
            raise ConfigError(f"crop must be at least 4 [px], not {self.crop}")


def sizes_of(dataset: Dataset, most: int) -> Sizes:
    """The sizes of the training objects, at most so many that stand for all; as the dataset says where it does."""
    if dataset.sizes is not None:
        return dataset.sizes
    train = dataset.splits["train"]
    return Sizes(common_shapes(train, most), all_sides(train).max(0).values)


def about_sizes(sizes: Sizes) -> dict[str, Any]:
    """What a saved run has to say of them: windows and regions are made from them, not from weights."""
    return {"sizes": {"common": sizes.common.tolist(), "largest": sizes.largest.tolist()}}


def common_shapes(split: Split, most: int) -> Tensor:
    """(A, 2) width and height [px] of the boxes of a split: one for each cluster of their logarithms, by k-means.

    Source: Redmon and Farhadi 2017, "YOLO9000", section 2, "dimension clusters" (there by overlap).
    """
    sides = all_sides(split).log()
    different, counts = sides.mul(8).round().div(8).unique(dim=0, return_counts=True)
    means = different[counts.argsort(descending=True, stable=True)[:most]]
    for _ in range(20):
        nearest = torch.cdist(sides, means).argmin(1)
        means = torch.stack([sides[nearest == i].mean(0) if (nearest == i).any() else m for i, m in enumerate(means)])
    return means.exp()


def all_sides(split: Split) -> Tensor:
    """(M, 2) width and height [px] of every box of a split."""
    return torch.cat([boxes[:, 2:] - boxes[:, :2] for boxes, _ in map(split.boxes, range(len(split)))])


def anchor_grid(found: FeatureMap, shapes: Tensor) -> Tensor:
    """Boxes of each shape (A, 2) around the middle of each position of a map -> (H W A, 4) [px]."""
    y, x = torch.meshgrid(torch.arange(found.height), torch.arange(found.width), indexing="ij")
    middles = (torch.stack((x, y), -1)[:, :, None] + 0.5) * found.stride
    return torch.cat((middles - shapes / 2, middles + shapes / 2), -1).reshape(-1, 4)


def per_anchor(raw: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """raw: (B, A' (K + 4), H, W) of a head -> logits (B, A, K) and offsets (B, A, 4), in the order of `anchor_grid`."""
    raw = raw.permute(0, 2, 3, 1).reshape(len(raw), -1, classes + 4).float()
    return raw[..., :classes], raw[..., classes:]


def targets(matched: Tensor, boxes: Tensor, kinds: Tensor, anchors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What anchors (A, 4) should say: class (A,) int64, offsets (A, 4), and whether they count (A,) bool.

    matched: (A,) of `boxes.match`; boxes, kinds: (M, 4) and (M,) of the objects.
    """
    has = matched >= 0
    classes, places = torch.zeros_like(matched), torch.zeros_like(anchors)
    classes[has] = 1 + kinds[matched[has]]
    places[has] = encode(boxes[matched[has]], anchors[has])
    return classes, places, matched != IGNORED


def box_loss(
    logits: Tensor, offsets: Tensor, classes: Tensor, places: Tensor, used: Tensor, *, label_smoothing: float = 0.0
) -> dict[str, Tensor]:
    """Cross-entropy and smooth L1 of the offsets, sums divided by the batch's boxes with objects; "loss" is their sum.

    Of background boxes only those of the largest loss count, so many of each image. Boxes of a class count by the root
    of how seldom it is in the batch: a hundred bricks must not hide the ball.
    Source: Girshick 2015, "Fast R-CNN", section 2.3; Liu et al. 2016, "SSD", section 2.2, "hard negative mining";
    the root: Mahajan et al. 2018, "Exploring the Limits of Weakly Supervised Pretraining", section 2.2.

    logits: (B, A, K); offsets, places: (B, A, 4) given and wanted; classes: (B, A) int64, 0 is background; used: (B, A)
    bool, False for boxes that are left out.
    """
    entropy = F.cross_entropy(logits.transpose(1, 2), classes, reduction="none", label_smoothing=label_smoothing)
    positive = (classes > 0) & used
    total = positive.sum().clamp(min=1)
    background = torch.where(positive | ~used, 0.0, entropy)
    ranks = background.detach().argsort(1, descending=True).argsort(1)
    wanted = (NEGATIVES * positive.sum(1, keepdim=True)).clamp(min=FEWEST_NEGATIVES)
    rare = torch.bincount(classes[positive], minlength=logits.shape[-1]).clamp(min=1).rsqrt()[classes[positive]]
    weights = rare * total / rare.sum().clamp(min=1e-9)  # 1 in the mean
    found = (weights * entropy[positive]).sum() + background[ranks < wanted].sum()
    wrong = F.smooth_l1_loss(offsets[positive], places[positive], reduction="none", beta=0.1)
    where = (weights[:, None] * wrong).sum()
    return {"loss": (found + where) / total, "class": found.detach() / total, "box": where.detach() / total}


def best_boxes(config: DetectConfig, scores: Tensor, boxes: Tensor, size: tuple[int, int]) -> Found:
    """What is left of boxes (A, 4) of class scores (A, K), background left out, in an image of `size` (H, W)."""
    score, kind = scores.max(1)
    kept = (score > config.least_score).nonzero()[:, 0]
    kept = kept[score[kept].argsort(descending=True, stable=True)][: 4 * config.most]
    boxes = clip(boxes[kept], *size)
    best = nms_of_classes(boxes, score[kept], kind[kept], config.nms_iou)[: config.most]
    return Found(boxes[best].cpu(), kind[kept][best].cpu(), score[kept][best].cpu())


def measure(
    predict: Callable[[Tensor], list[Found]],
    config: DetectConfig,
    categories: tuple[str, ...],
    split: Split,
    on_image: Callable[[int], None],
) -> dict[str, float]:
    """Centre-distance F1 (also of each category) and, where faster-coco-eval is installed, average precision.

    Where masks are found as well, average precision of the masks (`mask_ap`, `mask_ap50`). `quality` is the mean of F1
    and the average precisions: which weights are best is decided by it, because F1 soon stands still at 1 while boxes
    become ever more exact.
    """
    found: list[Found] = []
    masks: list[Sequence[object]] = []
    for start in range(0, len(split), EVALUATION_BATCH):
        for one in predict(split.images[start : start + EVALUATION_BATCH]):
            if one.masks is not None:
                masks.append(run_lengths(one.masks))
            found.append(replace(one, masks=None))
        on_image(len(found))
    truth = [split.boxes(i) for i in range(len(split))]
    size = (split.images.shape[2], split.images.shape[3])
    scores = centre_f1([one.above(config.score) for one in found], truth, categories)
    scores |= average_precision(found, truth, categories, size)
    if masks:
        true_masks = [run_lengths(split.masks(i)) for i in range(len(split))]
        of_masks = average_precision(found, truth, categories, size, (masks, true_masks))
        scores |= {f"mask_{name}": value for name, value in of_masks.items()}
    parts = [scores[name] for name in ("f1", "ap", "mask_ap") if name in scores]
    return scores | {"quality": sum(parts) / len(parts)}
