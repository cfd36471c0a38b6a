"""Detectors that first say where something might be and then judge each such box: sliding windows to Mask R-CNN."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from rl_gen_lab.backbones.maps import SMALL_CHANNELS
from rl_gen_lab.compute.memory_budget import refuse_weights
from rl_gen_lab.data.dataset import Dataset, Split
from rl_gen_lab.vision.detection.boxes import clip, decode, iou, match
from rl_gen_lab.vision.detection.common import (
    DetectConfig,
    about_sizes,
    best_boxes,
    box_loss,
    measure,
    sizes_of,
    targets,
)
from rl_gen_lab.vision.detection.metrics import Found
from rl_gen_lab.vision.detection.proposals import ColourRegions
from rl_gen_lab.vision.detection.roi_heads import CropNetwork, RegionNetwork, mask_loss, mask_targets, paste
from rl_gen_lab.vision.detection.sliding_windows import Windows
from rl_gen_lab.vision.segmentation import Scale

SAMPLES = 64  # boxes of an image that an update learns from
WINDOW_SAMPLES = 256  # as SAMPLES, for windows: of thousands only a few look like an object and are none
JITTERED = 2  # copies of each true box, moved and stretched a little, among them
LARGER = 1.25  # regions of one colour are proposals up to so many times the longest sides of objects
WINDOW_IOU = (0.55, 0.7)  # as low_iou and high_iou, for windows: they stay where they are, so they must fit
WINDOW_NMS_IOU = 0.1  # as nms_iou, for windows: a ball of 2x4 px may lie between two that share a third
AT_ONCE = 4_096  # boxes that a network judges in one pass


class TwoStage:
    """The task.

    sliding-window: every window (`Windows`), judged by a crop network, classes only; rcnn: regions of one colour,
    judged by a crop network that also moves them; fast-rcnn: the same regions, judged on a backbone's maps;
    faster-rcnn: learned proposals instead; mask-rcnn: masks as well.
    """

    goal = "quality"

    def __init__(self, config: DetectConfig, dataset: Dataset, device: torch.device) -> None:
        """Raises: ConfigError; DataError where mask-rcnn is to learn from objects without masks."""
        self.config, self.device, self.categories = config, device, dataset.categories
        train = dataset.splits["train"]
        shape = tuple(train.images.shape[1:])
        self.size: tuple[int, int] = (shape[1], shape[2])
        self.sizes, classes = sizes_of(dataset, config.shapes), 1 + len(self.categories)
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
            network.backbone.normalise(dataset.mean, dataset.std)
            self.network = network.to(device)
        self.search: Callable[[Tensor], Tensor] | None = None  # None: proposals are learned
        if config.model == "sliding-window":
            self.search = Windows(shapes, self.size)
        elif config.model in ("rcnn", "fast-rcnn"):
            self.search = ColourRegions(LARGER * self.sizes.largest, shapes, config.proposals)
        if config.model == "mask-rcnn":
            train.masks(0)
        windows = config.model == "sliding-window"
        self._suppression = replace(config, nms_iou=min(config.nms_iou, WINDOW_NMS_IOU)) if windows else config
        self.samples = WINDOW_SAMPLES if windows else SAMPLES
        self._known: dict[tuple[str, int], Tensor] = {}

    @property
    def about(self) -> dict[str, Any]:
        """What a saved run has to say besides its configuration and weights."""
        return about_sizes(self.sizes)

    # ---- learning

    def loss(self, split: Split, indices: Tensor) -> dict[str, Tensor]:
        """`box_loss` of the judged boxes, plus that of the anchors and `mask_loss` where there are some."""
        images = split.images[indices].to(self.device)
        features = self.network.features(images)
        truth = [[part.to(self.device) for part in split.boxes(index)] for index in indices.tolist()]
        losses: dict[str, Tensor] = {}
        if self.search is None:
            candidates, losses = self._learned(features, truth)
        else:
            candidates = [
                self._remembered(split.name, i, image) for i, image in zip(indices.tolist(), images, strict=True)
            ]
        samples = [self._sample(found, *true) for found, true in zip(candidates, truth, strict=True)]
        boxes, classes, places, used, matched = (torch.stack(parts) for parts in zip(*samples, strict=True))
        rows = torch.arange(len(images), device=self.device).repeat_interleave(self.samples)
        logits, offsets = self.network.judge(features, boxes.flatten(0, 1), rows)
        if self.config.model == "sliding-window":
            offsets = places.flatten(0, 1)  # windows stay where they are
        each = (logits.unflatten(0, boxes.shape[:2]), offsets.unflatten(0, boxes.shape[:2]))
        found = box_loss(*each, classes, places, used, label_smoothing=self.config.label_smoothing)
        loss = found["loss"] + losses.pop("loss", torch.zeros((), device=self.device))
        losses |= {name: value for name, value in found.items() if name != "loss"}
        if self.config.model == "mask-rcnn":
            masks = self._mask_loss(split, indices, features, boxes, classes, matched)
            loss, losses["mask"] = loss + masks, masks.detach()
        return {"loss": loss} | losses

    def _learned(self, features: list[Tensor], truth: list[list[Tensor]]) -> tuple[list[Tensor], dict[str, Tensor]]:
        """Proposals of the network for each image, and their losses."""
        assert isinstance(self.network, RegionNetwork)
        anchors = self.network.anchors
        logits, offsets = self.network.propose(features)
        wanted = []
        for boxes, kinds in truth:
            matched = match(anchors, boxes, self.config.low_iou, self.config.high_iou)
            wanted.append(targets(matched, boxes, torch.zeros_like(kinds), anchors))
        found = box_loss(logits, offsets, *(torch.stack(parts) for parts in zip(*wanted, strict=True)))
        with torch.no_grad():
            proposals = [self.network.best_proposals(*one, self.size) for one in zip(logits, offsets, strict=True)]
        names = {"class": "proposal_class", "box": "proposal_box", "loss": "loss"}
        return proposals, {names[name]: value for name, value in found.items()}

    def _remembered(self, split: str, index: int, image: Tensor) -> Tensor:
        """Proposals of a training image; they are the same in every epoch."""
        assert self.search is not None
        if isinstance(self.search, Windows):  # so many that they are cheaper to find than to keep
            return self.search(image)
        if (split, index) not in self._known:
            self._known[split, index] = self.search(image).cpu()
        return self._known[split, index].to(image.device)

    def _sample(self, candidates: Tensor, boxes: Tensor, kinds: Tensor) -> tuple[Tensor, ...]:
        """`samples` boxes (S, 4), their classes (S,), offsets (S, 4), if they count (S,), their objects (S,) int64.

        Of the candidates (unless they are windows also the true boxes and copies of these): up to half on objects, up
        to a quarter that overlap objects too little, the rest anywhere.
        """
        pool, limits = candidates, WINDOW_IOU
        if self.config.model != "sliding-window":
            pool, limits = torch.cat((self._around(boxes), pool)), (self.config.low_iou, self.config.high_iou)
        matched = match(pool, boxes, *limits)
        near = iou(pool, boxes).amax(1) > 0.1 if len(boxes) else torch.zeros_like(matched, dtype=torch.bool)
        shuffled = torch.randperm(len(pool), device=pool.device)
        order = matched[shuffled]
        chosen = (matched >= 0).nonzero()[:, 0]
        if len(chosen) > self.samples // 2:  # of each class as many, lest a ball be lost among a hundred bricks
            of_class = kinds[matched[chosen]]
            rarity = 1 / of_class.bincount()[of_class]
            chosen = chosen[torch.multinomial(rarity, self.samples // 2)]
        chosen = torch.cat((chosen, shuffled[(order == -1) & near[shuffled]][: self.samples // 4]))
        anywhere = shuffled[(order == -1) & ~near[shuffled]]
        chosen = torch.cat((chosen, anywhere))[: self.samples]
        classes, places, used = targets(matched[chosen], boxes, kinds, pool[chosen])
        missing = self.samples - len(chosen)
        filler = pool.new_tensor([0, 0, 1, 1]).expand(missing, 4)

        def filled(part: Tensor) -> Tensor:
            return torch.cat((part, part.new_zeros(missing, *part.shape[1:])))

        whole = torch.cat((pool[chosen], filler))
        return whole, filled(classes), filled(places), filled(used), filled(matched[chosen])

    def _around(self, boxes: Tensor) -> Tensor:
        """Boxes (M, 4) and JITTERED copies of each, moved and stretched by about a fifth of their sides."""
        sides = (boxes[:, 2:] - boxes[:, :2]).repeat(JITTERED, 1)
        moved, stretched = 0.2 * torch.randn(2, len(sides), 2, device=boxes.device)
        copies = boxes.repeat(JITTERED, 1) + torch.cat((moved * sides, (moved + stretched) * sides), 1)
        copies = clip(copies, *self.size)
        return torch.cat((boxes, copies[((copies[:, 2:] - copies[:, :2]) >= 1).all(1)]))

    def _mask_loss(
        self, split: Split, indices: Tensor, features: list[Tensor], boxes: Tensor, classes: Tensor, matched: Tensor
    ) -> Tensor:
        """`mask_loss` of the sampled boxes with objects. boxes: (B, S, 4); classes, matched: (B, S)."""
        assert isinstance(self.network, RegionNetwork)
        true = torch.cat(
            [
                split.masks(index)[matched[row][classes[row] > 0].cpu()].to(self.device)
                for row, index in enumerate(indices.tolist())
            ]
        )
        rows, columns = (classes > 0).nonzero(as_tuple=True)
        places = boxes[rows, columns]
        logits = self.network.masks(features, places, rows, classes[rows, columns] - 1)
        return mask_loss(logits, mask_targets(true, places, logits.shape[-1]))

    # ---- using

    def predict(self, images: Tensor) -> list[Found]:
        """What is found in images (B, C, H, W) uint8, best first, down to `least_score`."""
        return self._find(images)[0]

    def _find(self, images: Tensor) -> tuple[list[Found], list[Tensor]]:
        """What `predict` gives, and the boxes (M, 4) of each image that were judged for it."""
        images = images.to(self.device)
        features = self.network.features(images)
        if self.search is None:
            assert isinstance(self.network, RegionNetwork)
            learned = zip(*self.network.propose(features), strict=True)
            candidates = [self.network.best_proposals(*one, self.size) for one in learned]
        else:
            candidates = [self.search(image) for image in images]
        counts = [len(boxes) for boxes in candidates]
        boxes = torch.cat(candidates)
        rows = torch.arange(len(images), device=self.device).repeat_interleave(torch.tensor(counts, device=self.device))
        parts = [
            self.network.judge(features, some, where)
            for some, where in zip(boxes.split(AT_ONCE), rows.split(AT_ONCE), strict=True)
        ]
        logits, offsets = (torch.cat(part) for part in zip(*parts, strict=True))
        if self.config.model != "sliding-window":
            boxes = decode(offsets, boxes)
        found = [
            best_boxes(self._suppression, scores, places, self.size)
            for scores, places in zip(logits.softmax(-1)[:, 1:].split(counts), boxes.split(counts), strict=True)
        ]
        if self.config.model == "mask-rcnn":
            found = self._with_masks(found, features)
        return found, candidates

    def _with_masks(self, found: list[Found], features: list[Tensor]) -> list[Found]:
        assert isinstance(self.network, RegionNetwork)
        result = []
        for row, one in enumerate(found):
            boxes, kinds = one.boxes.to(self.device), one.classes.to(self.device)
            logits = self.network.masks(features, boxes, torch.full_like(kinds, row), kinds)
            result.append(Found(one.boxes, one.classes, one.scores, paste(logits.sigmoid(), boxes, self.size).cpu()))
        return result

    def evaluate(self, split: Split, on_image: Callable[[int], None]) -> dict[str, float]:
        """`measure` of a split, and `proposal_recall`: the share of objects that some judged box overlaps by a half."""
        done = covered = total = 0

        def predict(images: Tensor) -> list[Found]:
            nonlocal done, covered, total
            found, candidates = self._find(images)
            for judged in candidates:
                boxes, _ = split.boxes(done)
                done, total = done + 1, total + len(boxes)
                if len(boxes) and len(judged):
                    covered += int((iou(boxes, judged.cpu()).amax(1) >= 0.5).sum())
            return found

        scores = measure(predict, self.config, self.categories, split, on_image)
        return scores | {"proposal_recall": covered / max(total, 1)}
