"""What is where: boxes of several shapes at every position of one feature map (SSD), or one guess a cell (YOLO)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from rl_gen_lab.backbones.maps import build_for
from rl_gen_lab.data.dataset import Dataset, Split
from rl_gen_lab.vision.detection.boxes import decode, match
from rl_gen_lab.vision.detection.common import (
    DetectConfig,
    about_sizes,
    anchor_grid,
    best_boxes,
    box_loss,
    measure,
    per_anchor,
    sizes_of,
    targets,
)
from rl_gen_lab.vision.detection.metrics import Found
from rl_gen_lab.vision.detection.positional_encoding import Positions


class Detector(nn.Module):
    """A backbone's coarsest map and one 3x3 convolution: at each position, for each shape, classes and offsets.

    Class 0 is background. Source: Liu et al. 2016, "SSD", figure 2, with a single map.
    """

    anchors: Tensor

    def __init__(self, config: DetectConfig, shape: tuple[int, ...], shapes: Tensor, classes: int) -> None:
        super().__init__()
        self.backbone = build_for(config, shape)
        found = self.backbone.feature_maps[-1]
        self.classes = classes
        self.positions = Positions(found, config.positions)
        channels = found.channels + self.positions.channels
        self.head = nn.Conv2d(channels, len(shapes) * (classes + 4), 3, padding=1)
        self.register_buffer("anchors", anchor_grid(found, shapes))
        nn.init.normal_(self.head.weight, std=0.01)
        assert self.head.bias is not None
        nn.init.zeros_(self.head.bias)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """images: (B, C, H, W) uint8 -> logits (B, A, 1 + K), offsets (B, A, 4) of A anchors in `anchors`."""
        return per_anchor(self.head(self.positions(self.backbone.maps(images)[-1])), self.classes)


class Detect:
    """The task: ssd has several anchors at a position and takes those that overlap; yolo the one whose cell it is."""

    goal = "quality"

    def __init__(self, config: DetectConfig, dataset: Dataset, device: torch.device) -> None:
        """Raises: ConfigError."""
        self.config, self.device, self.categories = config, device, dataset.categories
        train = dataset.splits["train"]
        self.size: tuple[int, int] = (train.images.shape[2], train.images.shape[3])
        self.sizes = sizes_of(dataset, config.shapes)
        shapes = self.sizes.common
        if config.model == "yolo":
            shapes = shapes.log().mean(0, keepdim=True).exp()
        network = Detector(config, tuple(train.images.shape[1:]), shapes, 1 + len(self.categories))
        network.backbone.normalise(dataset.mean, dataset.std)
        self.network = network.to(device)

    @property
    def about(self) -> dict[str, Any]:
        """What a saved run has to say besides its configuration and weights."""
        return about_sizes(self.sizes)

    def loss(self, split: Split, indices: Tensor) -> dict[str, Tensor]:
        """`box_loss` of the anchors."""
        logits, offsets = self.network(split.images[indices].to(self.device))
        wanted = []
        for index in indices.tolist():
            boxes, kinds = (part.to(self.device) for part in split.boxes(index))
            wanted.append(targets(self.assign(boxes), boxes, kinds, self.network.anchors))
        true = (torch.stack(parts) for parts in zip(*wanted, strict=True))
        return box_loss(logits, offsets, *true, label_smoothing=self.config.label_smoothing)

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

    def predict(self, images: Tensor) -> list[Found]:
        """What is found in images (B, C, H, W) uint8, best first, down to `least_score`."""
        logits, offsets = self.network(images.to(self.device))
        boxes = decode(offsets, self.network.anchors)
        return [
            best_boxes(self.config, scores, places, self.size)
            for scores, places in zip(logits.softmax(-1)[..., 1:], boxes, strict=True)
        ]

    def evaluate(self, split: Split, on_image: Callable[[int], None]) -> dict[str, float]:
        """`measure` of a split."""
        return measure(self.predict, self.config, self.categories, split, on_image)
