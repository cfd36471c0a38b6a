"""Two-stage detectors, which first propose boxes and then classify each: sliding windows to Mask R-CNN."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from rl_gen_lab.backbones.blocks import Scale
from rl_gen_lab.backbones.maps import SMALL_CHANNELS
from rl_gen_lab.compute.memory_budget import refuse_weights
from rl_gen_lab.data.dataset import Dataset, Split
from rl_gen_lab.vision.box_metrics import Detections
from rl_gen_lab.vision.boxes import decode, iou, match
from rl_gen_lab.vision.detection.anchors import anchor_targets, object_sizes, sizes_metadata
from rl_gen_lab.vision.detection.common import box_loss, evaluate_detector, select_detections
from rl_gen_lab.vision.detection.config import DetectConfig
from rl_gen_lab.vision.detection.proposals import ColorRegions
from rl_gen_lab.vision.detection.roi_heads import CropNetwork, RegionNetwork, mask_loss, mask_targets, paste
from rl_gen_lab.vision.detection.sampling import Samples, jitter, sample_boxes
from rl_gen_lab.vision.detection.sliding_windows import Windows

SAMPLES = 64  # boxes of an image that an update learns from
WINDOW_SAMPLES = 256  # as SAMPLES, for windows: of thousands only a few resemble an object and are none
MAX_RELATIVE_SIDE = 1.25  # of a region of one color that is a proposal, in units of the objects' longest sides
WINDOW_IOU = (0.55, 0.7)  # as low_iou and high_iou, for windows: they are not moved, so they must fit
WINDOW_NMS_IOU = 0.1  # as nms_iou, for windows: a ball of 2x4 px may lie between two that share a third
BOXES_PER_PASS = 4_096  # that a network classifies


class TwoStageTask:
    """Detection by proposals.

    sliding-window: every window (`Windows`), classified by a crop network and not moved; rcnn: regions of one color,
    classified and moved by a crop network; fast-rcnn: the same regions on a backbone's maps; faster-rcnn: learned
    proposals instead; mask-rcnn: masks as well.
    """

    target_metric = "quality"

    def __init__(self, config: DetectConfig, dataset: Dataset, device: torch.device) -> None:
        """Raises: ConfigError; DataError where mask-rcnn is to learn from objects without masks."""
        self.config, self.device, self.categories = config, device, dataset.categories
        train = dataset.splits["train"]
        shape = tuple(train.images.shape[1:])
        self.size: tuple[int, int] = (shape[1], shape[2])
        self.sizes, classes = object_sizes(dataset, config.shapes), 1 + len(self.categories)
        shapes = self.sizes.common
        self.network: CropNetwork | RegionNetwork
        if config.model in ("sliding-window", "rcnn"):
            scale = Scale(dataset.mean, dataset.std)
            make = functools.partial(CropNetwork, scale, shape[0], classes, config.choices.width, config.crop)
            if max(config.choices.width, config.crop) > SMALL_CHANNELS:
                less = "a smaller --detect.choices.width or --detect.crop"
                refuse_weights(make, f"detect.model {config.model}", less)
            self.network = make().to(device)
        else:
            network = RegionNetwork(config, shape, shapes, classes)
            network.backbone.normalize(dataset.mean, dataset.std)
            self.network = network.to(device)
        self.search: Callable[[Tensor], Tensor] | None = None  # None: proposals are learned
        if config.model == "sliding-window":
            self.search = Windows(shapes, self.size)
        elif config.model in ("rcnn", "fast-rcnn"):
            self.search = ColorRegions(MAX_RELATIVE_SIDE * self.sizes.largest, shapes, config.proposals)
        if config.model == "mask-rcnn":
            train.masks(0)
        self.has_windows = config.model == "sliding-window"
        nms_iou = min(config.nms_iou, WINDOW_NMS_IOU) if self.has_windows else config.nms_iou
        self._selection = replace(config, nms_iou=nms_iou)
        self.samples = WINDOW_SAMPLES if self.has_windows else SAMPLES
        self._proposals: dict[tuple[str, int], Tensor] = {}  # of training images

    @property
    def run_metadata(self) -> dict[str, Any]:
        """The sizes of objects: a saved run needs them beside its configuration and its weights."""
        return sizes_metadata(self.sizes)

    # ---- learning

    def loss(self, split: Split, indices: Tensor) -> dict[str, Tensor]:
        """Sum the `box_loss` of the second stage, that of the anchors and the `mask_loss`, where there are some."""
        images = split.images[indices].to(self.device)
        features = self.network.features(images)
        truth = [[part.to(self.device) for part in split.boxes(index)] for index in indices.tolist()]
        losses: dict[str, Tensor] = {}
        if self.search is None:
            candidates, losses = self._learn_proposals(features, truth)
        else:
            candidates = [
                self._training_proposals(split.name, i, image)
                for i, image in zip(indices.tolist(), images, strict=True)
            ]
        samples = [self._sample(proposals, *true) for proposals, true in zip(candidates, truth, strict=True)]
        boxes, classes, targets, used, objects = (torch.stack(parts) for parts in zip(*samples, strict=True))
        rows = torch.arange(len(images), device=self.device).repeat_interleave(self.samples)
        logits, offsets = self.network.classify_boxes(features, boxes.flatten(0, 1), rows)
        if self.has_windows:
            offsets = targets.flatten(0, 1)  # windows are not moved
        predicted = (logits.unflatten(0, boxes.shape[:2]), offsets.unflatten(0, boxes.shape[:2]))
        stage = box_loss(*predicted, classes, targets, used, label_smoothing=self.config.label_smoothing)
        loss = stage["loss"] + losses.pop("loss", torch.zeros((), device=self.device))
        losses |= {name: value for name, value in stage.items() if name != "loss"}
        if self.config.model == "mask-rcnn":
            masks = self._mask_loss(split, indices, features, boxes, classes, objects)
            loss, losses["mask"] = loss + masks, masks.detach()
        return {"loss": loss} | losses

    def _learn_proposals(
        self, features: list[Tensor], truth: list[list[Tensor]]
    ) -> tuple[list[Tensor], dict[str, Tensor]]:
        """Return the network's proposals for each image, and their losses."""
        assert isinstance(self.network, RegionNetwork)
        anchors = self.network.anchors
        logits, offsets = self.network.propose(features)
        targets = []
        for boxes, categories in truth:
            matched = match(anchors, boxes, self.config.low_iou, self.config.high_iou)
            targets.append(anchor_targets(matched, boxes, torch.zeros_like(categories), anchors))
        losses = box_loss(logits, offsets, *(torch.stack(parts) for parts in zip(*targets, strict=True)))
        with torch.no_grad():
            proposals = [self.network.best_proposals(*image, self.size) for image in zip(logits, offsets, strict=True)]
        names = {"class": "proposal_class", "box": "proposal_box", "loss": "loss"}
        return proposals, {names[name]: value for name, value in losses.items()}

    def _training_proposals(self, split: str, index: int, image: Tensor) -> Tensor:
        """Return the proposals of a training image, which are the same in every epoch."""
        assert self.search is not None
        if self.has_windows:  # so many that they are cheaper to find than to keep
            return self.search(image)
        if (split, index) not in self._proposals:
            self._proposals[split, index] = self.search(image).cpu()
        return self._proposals[split, index].to(image.device)

    def _sample(self, candidates: Tensor, boxes: Tensor, categories: Tensor) -> Samples:
        """Sample the boxes that an update learns from; unless they are windows, also true boxes and copies of these."""
        limits = WINDOW_IOU
        if not self.has_windows:
            candidates = torch.cat((jitter(boxes, self.size), candidates))
            limits = (self.config.low_iou, self.config.high_iou)
        return sample_boxes(candidates, boxes, categories, self.samples, limits)

    def _mask_loss(
        self, split: Split, indices: Tensor, features: list[Tensor], boxes: Tensor, classes: Tensor, objects: Tensor
    ) -> Tensor:
        """Compute the `mask_loss` of the sampled boxes with objects. boxes: (B, S, 4); classes, objects: (B, S)."""
        assert isinstance(self.network, RegionNetwork)
        true = torch.cat(
            [
                split.masks(index)[objects[row][classes[row] > 0].cpu()].to(self.device)
                for row, index in enumerate(indices.tolist())
            ]
        )
        rows, columns = (classes > 0).nonzero(as_tuple=True)
        sampled = boxes[rows, columns]
        logits = self.network.masks(features, sampled, rows, classes[rows, columns] - 1)
        return mask_loss(logits, mask_targets(true, sampled, logits.shape[-1]))

    # ---- prediction

    def predict(self, images: Tensor) -> list[Detections]:
        """Detect objects in images (B, C, H, W) uint8, best first, down to `least_score`."""
        return self._detect(images)[0]

    def _detect(self, images: Tensor) -> tuple[list[Detections], list[Tensor]]:
        """Return the detections of each image and the proposals (M, 4) that they were selected from."""
        images = images.to(self.device)
        features = self.network.features(images)
        if self.search is None:
            assert isinstance(self.network, RegionNetwork)
            learned = zip(*self.network.propose(features), strict=True)
            candidates = [self.network.best_proposals(*image, self.size) for image in learned]
        else:
            candidates = [self.search(image) for image in images]
        counts = [len(boxes) for boxes in candidates]
        boxes = torch.cat(candidates)
        rows = torch.arange(len(images), device=self.device).repeat_interleave(torch.tensor(counts, device=self.device))
        parts = [
            self.network.classify_boxes(features, part, part_rows)
            for part, part_rows in zip(boxes.split(BOXES_PER_PASS), rows.split(BOXES_PER_PASS), strict=True)
        ]
        logits, offsets = (torch.cat(part) for part in zip(*parts, strict=True))
        if not self.has_windows:
            boxes = decode(offsets, boxes)
        detections = [
            select_detections(self._selection, scores, decoded, self.size)
            for scores, decoded in zip(logits.softmax(-1)[:, 1:].split(counts), boxes.split(counts), strict=True)
        ]
        if self.config.model == "mask-rcnn":
            detections = self._add_masks(detections, features)
        return detections, candidates

    def _add_masks(self, detections: list[Detections], features: list[Tensor]) -> list[Detections]:
        assert isinstance(self.network, RegionNetwork)
        result = []
        for row, image in enumerate(detections):
            boxes, classes = image.boxes.to(self.device), image.classes.to(self.device)
            logits = self.network.masks(features, boxes, torch.full_like(classes, row), classes)
            result.append(replace(image, masks=paste(logits.sigmoid(), boxes, self.size).cpu()))
        return result

    def evaluate(self, split: Split, on_image: Callable[[int], None]) -> dict[str, float]:
        """Evaluate the detector on a split; also `proposal_recall`, the share of objects with a proposal of IoU 0.5."""
        done = covered = total = 0

        def predict(images: Tensor) -> list[Detections]:
            nonlocal done, covered, total
            detections, candidates = self._detect(images)
            for proposals in candidates:
                boxes, _ = split.boxes(done)
                done, total = done + 1, total + len(boxes)
                if len(boxes) and len(proposals):
                    covered += int((iou(boxes, proposals.cpu()).amax(1) >= 0.5).sum())
            return detections

        scores = evaluate_detector(predict, self.config, self.categories, split, on_image)
        return scores | {"proposal_recall": covered / max(total, 1)}
