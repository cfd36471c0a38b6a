"""One-stage detectors: boxes of several shapes at each position of a feature map (SSD), or one box a cell (YOLO)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from rl_gen_lab.backbones.maps import build_for
from rl_gen_lab.data.dataset import Dataset, Split
from rl_gen_lab.vision.box_metrics import Detections
from rl_gen_lab.vision.boxes import BACKGROUND, decode, match
from rl_gen_lab.vision.detection.anchors import anchor_grid, anchor_targets, object_sizes, per_anchor, sizes_metadata
from rl_gen_lab.vision.detection.common import box_loss, evaluate_detector, select_detections
from rl_gen_lab.vision.detection.config import DetectConfig
from rl_gen_lab.vision.detection.positional_encoding import PositionalEncoding


class OneStageNetwork(nn.Module):
    """A backbone's coarsest map and one 3x3 convolution: classes and offsets for each shape at each position.

    Class 0 is background. Source: Liu et al. 2016, "SSD", figure 2, with a single map.
    """

    anchors: Tensor

    def __init__(self, config: DetectConfig, shape: tuple[int, ...], shapes: Tensor, classes: int) -> None:
        super().__init__()
        self.backbone = build_for(config, shape)
        coarsest = self.backbone.feature_maps[-1]
        self.classes = classes
        self.positions = PositionalEncoding(coarsest, config.positions)
        channels = coarsest.channels + self.positions.channels
        self.head = nn.Conv2d(channels, len(shapes) * (classes + 4), 3, padding=1)
        self.register_buffer("anchors", anchor_grid(coarsest, shapes))
        nn.init.normal_(self.head.weight, std=0.01)
        assert self.head.bias is not None
        nn.init.zeros_(self.head.bias)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """images: (B, C, H, W) uint8 -> logits (B, A, 1 + K), offsets (B, A, 4) of A anchors in `anchors`."""
        return per_anchor(self.head(self.positions(self.backbone.maps(images)[-1])), self.classes)


class OneStageTask:
    """Detection by anchors. ssd: several at a position, matched by overlap; yolo: the one of the cell of the center."""

    target_metric = "quality"

    def __init__(self, config: DetectConfig, dataset: Dataset, device: torch.device) -> None:
        """Raises: ConfigError."""
        self.config, self.device, self.categories = config, device, dataset.categories
        train = dataset.splits["train"]
        self.size: tuple[int, int] = (train.images.shape[2], train.images.shape[3])
        self.sizes = object_sizes(dataset, config.shapes)
        shapes = self.sizes.common
        if config.model == "yolo":
            shapes = shapes.log().mean(0, keepdim=True).exp()
        network = OneStageNetwork(config, tuple(train.images.shape[1:]), shapes, 1 + len(self.categories))
        network.backbone.normalize(dataset.mean, dataset.std)
        self.network = network.to(device)

    @property
    def run_metadata(self) -> dict[str, Any]:
        """The sizes of objects: a saved run needs them beside its configuration and its weights."""
        return sizes_metadata(self.sizes)

    def loss(self, split: Split, indices: Tensor) -> dict[str, Tensor]:
        """Compute the `box_loss` of the anchors. indices: (B,) int64."""
        logits, offsets = self.network(split.images[indices].to(self.device))
        targets = []
        for index in indices.tolist():
            boxes, categories = (part.to(self.device) for part in split.boxes(index))
            targets.append(anchor_targets(self.assign(boxes), boxes, categories, self.network.anchors))
        stacked = (torch.stack(parts) for parts in zip(*targets, strict=True))
        return box_loss(logits, offsets, *stacked, label_smoothing=self.config.label_smoothing)

    def assign(self, boxes: Tensor) -> Tensor:
        """Match each anchor with a box or with none, below 0 (`boxes.match`): (A,) int64. boxes: (M, 4)."""
        anchors = self.network.anchors
        if self.config.model == "ssd":
            return match(anchors, boxes, self.config.low_iou, self.config.high_iou)
        matched = torch.full((len(anchors),), BACKGROUND, device=anchors.device)
        last = self.network.backbone.feature_maps[-1]
        cells = ((boxes[:, :2] + boxes[:, 2:]) / 2 / last.stride).long()
        cells = torch.minimum(cells, torch.tensor((last.width - 1, last.height - 1), device=cells.device))
        matched[cells[:, 1] * last.width + cells[:, 0]] = torch.arange(len(boxes), device=matched.device)
        return matched

    def predict(self, images: Tensor) -> list[Detections]:
        """Detect objects in images (B, C, H, W) uint8, best first, down to `least_score`."""
        logits, offsets = self.network(images.to(self.device))
        boxes = decode(offsets, self.network.anchors)
        return [
            select_detections(self.config, scores, decoded, self.size)
            for scores, decoded in zip(logits.softmax(-1)[..., 1:], boxes, strict=True)
        ]

    def evaluate(self, split: Split, on_image: Callable[[int], None]) -> dict[str, float]:
        """Evaluate the detector on a split; `on_image` gets the number of images done."""
        return evaluate_detector(self.predict, self.config, self.categories, split, on_image)
