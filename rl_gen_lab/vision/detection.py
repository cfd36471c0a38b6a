"""What is where: boxes of several shapes at every position of one feature map (SSD), or one guess a cell (YOLO)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rl_gen_lab.backbones import build_maps
from rl_gen_lab.backbones.choices import Choices
from rl_gen_lab.data import Dataset, Split
from rl_gen_lab.errors import ConfigError
from rl_gen_lab.vision.boxes import clip, decode, encode, match, nms_of_classes
from rl_gen_lab.vision.detection_metrics import Found, average_precision, centre_f1

EVALUATION_BATCH = 8
NEGATIVES = 3  # background anchors in the loss for every anchor with an object, the hardest first
FEWEST_NEGATIVES = 16  # of an image, however few objects it shows


@dataclass(frozen=True)
class DetectConfig:
    """Object detection."""

    model: Literal["ssd", "yolo"] = "ssd"
    # Objects are 2 to 20 pixels: the backbone's coarsest map should have a stride of at most 4.
    backbone: str = "resnet"
    choices: Choices = field(default_factory=lambda: Choices(width=16, stages=2, depth=2, norm="batch"))
    # Shapes of the boxes at each position of an ssd: the commonest ones of the training set.
    shapes: int = 6
    # Overlap with a box from which an anchor has to find it, and below which it is background.
    high_iou: float = 0.5
    low_iou: float = 0.3
    # Boxes of one class that overlap by more than this are one object.
    nms_iou: float = 0.4
    # Least score of what is reported as found, and of what the precision-recall curve is drawn from.
    score: float = 0.5
    least_score: float = 0.02
    # Objects of an image, at most.
    most: int = 100

    def __post_init__(self) -> None:
        if not 0 <= self.low_iou <= self.high_iou <= 1 or self.shapes < 1 or self.most < 1:
            raise ConfigError("0 <= low_iou <= high_iou <= 1; shapes and most must be at least 1")


def common_shapes(split: Split, most: int) -> Tensor:
    """(A, 2) width and height [px] of the boxes of a split: one for each cluster of their logarithms, by k-means.

    Source: Redmon and Farhadi 2017, "YOLO9000", section 2, "dimension clusters" (there by overlap).
    """
    sides = torch.cat([boxes[:, 2:] - boxes[:, :2] for boxes, _ in map(split.boxes, range(len(split)))]).log()
    different, counts = sides.mul(8).round().div(8).unique(dim=0, return_counts=True)
    means = different[counts.argsort(descending=True, stable=True)[:most]]
    for _ in range(20):
        nearest = torch.cdist(sides, means).argmin(1)
        means = torch.stack([sides[nearest == i].mean(0) if (nearest == i).any() else m for i, m in enumerate(means)])
    return means.exp()


class Detector(nn.Module):
    """A backbone's coarsest map and one 3x3 convolution: at each position, for each shape, classes and offsets.

    Class 0 is background. Source: Liu et al. 2016, "SSD", figure 2, with a single map.
    """

    anchors: Tensor

    def __init__(self, config: DetectConfig, shape: tuple[int, ...], shapes: Tensor, classes: int) -> None:
        super().__init__()
        self.backbone = build_maps(config.backbone, shape, config.choices)
        found = self.backbone.feature_maps[-1]
        self.classes = classes
        self.head = nn.Conv2d(found.channels, len(shapes) * (classes + 4), 3, padding=1)
        y, x = torch.meshgrid(torch.arange(found.height), torch.arange(found.width), indexing="ij")
        middles = (torch.stack((x, y), -1)[:, :, None] + 0.5) * found.stride
        self.register_buffer("anchors", torch.cat((middles - shapes / 2, middles + shapes / 2), -1).reshape(-1, 4))
        nn.init.normal_(self.head.weight, std=0.01)
        assert self.head.bias is not None
        nn.init.zeros_(self.head.bias)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """images: (B, C, H, W) uint8 -> logits (B, A, 1 + K), offsets (B, A, 4) of A anchors in `anchors`."""
        raw = self.head(self.backbone.maps(images)[-1])
        raw = raw.permute(0, 2, 3, 1).reshape(len(images), -1, self.classes + 4).float()
        return raw[..., : self.classes], raw[..., self.classes :]


class Detect:
    """The task: ssd has several anchors at a position and takes those that overlap; yolo the one whose cell it is."""

    goal = "f1"

    def __init__(self, config: DetectConfig, dataset: Dataset, device: torch.device) -> None:
        """Raises: ConfigError."""
        self.config, self.device, self.categories = config, device, dataset.categories
        train = dataset.splits["train"]
        self.size: tuple[int, int] = (train.images.shape[2], train.images.shape[3])
        shapes = common_shapes(train, config.shapes)
        if config.model == "yolo":
            shapes = shapes.log().mean(0, keepdim=True).exp()
        network = Detector(config, tuple(train.images.shape[1:]), shapes, 1 + len(self.categories))
        network.backbone.normalise(dataset.mean, dataset.std)
        self.network = network.to(device)

    def loss(self, split: Split, indices: Tensor) -> dict[str, Tensor]:
        """Cross-entropy and smooth L1 of the offsets, sums over anchors divided by the batch's anchors with objects."""
        logits, offsets = self.network(split.images[indices].to(self.device))
        classes, places = torch.zeros_like(logits[..., 0], dtype=torch.int64), torch.zeros_like(offsets)
        ignored = torch.zeros_like(classes, dtype=torch.bool)
        for row, index in enumerate(indices.tolist()):
            boxes, kinds = (part.to(self.device) for part in split.boxes(index))
            matched = self.assign(boxes)
            has = matched >= 0
            classes[row, has] = 1 + kinds[matched[has]]
            places[row, has] = encode(boxes[matched[has]], self.network.anchors[has])
            ignored[row] = matched < -1
        entropy = F.cross_entropy(logits.transpose(1, 2), classes, reduction="none")
        positive = classes > 0
        total = positive.sum().clamp(min=1)
        found = entropy[positive].sum() + self._hardest(entropy, positive, ignored)
        where = F.smooth_l1_loss(offsets[positive], places[positive], reduction="sum", beta=0.1)
        return {"loss": (found + where) / total, "class": found.detach() / total, "box": where.detach() / total}

    def assign(self, boxes: Tensor) -> Tensor:
        """(A,) int64: the box that each anchor has to find, or below 0 (`boxes.match`). boxes: (M, 4)."""
        anchors = self.network.anchors
        if self.config.model == "ssd":
            return match(anchors, boxes, self.config.low_iou, self.config.high_iou)
        found = torch.full((len(anchors),), -1, device=anchors.device)
        last = self.network.backbone.feature_maps[-1]
        cells = ((boxes[:, :2] + boxes[:, 2:]) / 2 / last.stride).long()
        cells = torch.minimum(cells, torch.tensor((last.width - 1, last.height - 1), device=cells.device))
        found[cells[:, 1] * last.width + cells[:, 0]] = torch.arange(len(boxes), device=found.device)
        return found

    def _hardest(self, entropy: Tensor, positive: Tensor, ignored: Tensor) -> Tensor:
        """Sum over the background anchors with the largest loss, so many of each image."""
        background = torch.where(positive | ignored, 0.0, entropy)
        ranks = background.detach().argsort(1, descending=True).argsort(1)
        wanted = (NEGATIVES * positive.sum(1, keepdim=True)).clamp(min=FEWEST_NEGATIVES)
        return background[ranks < wanted].sum()

    def predict(self, images: Tensor) -> list[Found]:
        """What is found in images (B, C, H, W) uint8, best first, down to `least_score`."""
        logits, offsets = self.network(images.to(self.device))
        found = []
        for scores, boxes in zip(logits.softmax(-1)[..., 1:], decode(offsets, self.network.anchors), strict=True):
            score, kind = scores.max(1)
            kept = (score > self.config.least_score).nonzero()[:, 0]
            kept = kept[score[kept].argsort(descending=True, stable=True)][: 4 * self.config.most]
            boxes = clip(boxes[kept], *self.size)
            best = nms_of_classes(boxes, score[kept], kind[kept], self.config.nms_iou)[: self.config.most]
            found.append(Found(boxes[best].cpu(), kind[kept][best].cpu(), score[kept][best].cpu()))
        return found

    def evaluate(self, split: Split, on_image: Callable[[int], None]) -> dict[str, float]:
        """Centre-distance F1 (also of each category) and, where faster-coco-eval is installed, average precision."""
        found: list[Found] = []
        for start in range(0, len(split), EVALUATION_BATCH):
            found += self.predict(split.images[start : start + EVALUATION_BATCH])
            on_image(len(found))
        truth = [split.boxes(i) for i in range(len(split))]
        scores = centre_f1([one.above(self.config.score) for one in found], truth, self.categories)
        return scores | average_precision(found, truth, self.categories, self.size)
