"""The task of `classify` and `localize`: its loss, its predictions and its metrics."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from rl_gen_lab.backbones.maps import build_for
from rl_gen_lab.cli.errors import ConfigError, suggest
from rl_gen_lab.data.dataset import Dataset, Split
from rl_gen_lab.data.records import DataError
from rl_gen_lab.vision.box_metrics import Detections, average_precision, center_f1
from rl_gen_lab.vision.boxes import centers, iou
from rl_gen_lab.vision.recognition.config import ClassifyConfig, LocalizeConfig
from rl_gen_lab.vision.recognition.network import RecognitionNetwork

EVALUATION_BATCH = 8


class RecognitionTask:
    """The categories that an image shows and, to localize, the box of one object."""

    def __init__(self, config: ClassifyConfig | LocalizeConfig, dataset: Dataset, device: torch.device) -> None:
        """Raises: ConfigError for an object that is no category, DataError for one that train never shows."""
        self.config, self.device, self.categories = config, device, dataset.categories
        self.object: int | None = None
        train = dataset.splits["train"]
        if isinstance(config, LocalizeConfig):
            if config.object not in self.categories:
                known = ", ".join(self.categories)
                hint = suggest(config.object, self.categories)
                raise ConfigError(f"unknown localize.object {config.object!r}; {dataset.path} has: {known}.{hint}")
            self.object = self.categories.index(config.object)
            if all(self.truth(train, index)[1] is None for index in range(len(train))):
                raise DataError(f"no training image of {dataset.path} shows a {config.object}")
        self.target_metric = "balanced_accuracy" if self.object is None else "quality"
        self.size: tuple[int, int] = (train.images.shape[2], train.images.shape[3])
        backbone = build_for(config, tuple(train.images.shape[1:]))
        backbone.normalize(dataset.mean, dataset.std)
        with_box = self.object is not None
        self.network = RecognitionNetwork(backbone, len(self.categories), config.model, with_box).to(device)

    def truth(self, split: Split, index: int) -> tuple[Tensor, Tensor | None]:
        """Return the presence of each category, (K,) float 0 or 1, and the object's box (4,) or None."""
        boxes, categories = split.boxes(index)
        present = torch.zeros(len(self.categories))
        present[categories] = 1.0
        rows = (categories == self.object).nonzero() if self.object is not None else categories[:0]
        return present, boxes[int(rows[0])] if len(rows) else None

    def loss(self, split: Split, indices: Tensor) -> dict[str, Tensor]:
        """Binary cross-entropy of the classes [nats], averaged; for images with the object also position and box.

        Position: cross-entropy of the votes with the position nearest to the center; box: smooth L1 of its corners, in
        units of the true width and height. Both are means over these images.
        """
        truth = [self.truth(split, index) for index in indices.tolist()]
        logits, votes, predicted = self.network(split.images[indices].to(self.device))
        present = torch.stack([present for present, _ in truth]).to(self.device)
        smoothed = present * (1 - self.config.label_smoothing) + self.config.label_smoothing / 2
        classes = F.binary_cross_entropy_with_logits(logits, smoothed)
        with_object = [row for row, (_, box) in enumerate(truth) if box is not None]
        if not isinstance(self.config, LocalizeConfig):
            return {"loss": classes}
        if not with_object:
            return {"loss": classes, "class": classes.detach(), "position": 0 * classes, "box": 0 * classes}
        boxes = torch.stack([box for _, box in truth if box is not None]).to(self.device)
        distances = (centers(boxes)[:, :, None] - self.network.middles).square().sum(1)
        position_loss = F.cross_entropy(votes[with_object], distances.argmin(1))
        sides = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)
        box_loss = F.smooth_l1_loss(predicted[with_object] / sides, boxes / sides, beta=0.1)
        loss = classes + self.config.box_weight * (position_loss + box_loss)
        return {"loss": loss, "class": classes.detach(), "position": position_loss.detach(), "box": box_loss.detach()}

    def predict(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """images: (B, C, H, W) uint8 -> probability of each category (B, K), the object's box (B, 4) [px] or (B, 0)."""
        logits, _, box = self.network(images.to(self.device))
        return logits.sigmoid().cpu(), box.cpu()

    def evaluate(self, split: Split, on_image: Callable[[int], None]) -> dict[str, float]:
        """Compute `presence_metrics`; for an object that is localized also F1, mean overlap and average precision.

        `quality`, the mean of F1 and overlap, decides which weights are best.
        """
        scores, boxes = [], []
        for start in range(0, len(split), EVALUATION_BATCH):
            score, box = self.predict(split.images[start : start + EVALUATION_BATCH])
            scores.append(score)
            boxes.append(box)
            on_image(min(start + EVALUATION_BATCH, len(split)))
        truth = [self.truth(split, index) for index in range(len(split))]
        metrics = presence_metrics(torch.cat(scores), torch.stack([there for there, _ in truth]), self.categories)
        if self.object is None:
            return metrics
        true_boxes = [box for _, box in truth]
        return metrics | self._localization_metrics(torch.cat(scores)[:, self.object], torch.cat(boxes), true_boxes)

    def _localization_metrics(self, scores: Tensor, boxes: Tensor, truth: Sequence[Tensor | None]) -> dict[str, float]:
        """scores: (N,), boxes: (N, 4); truth: N boxes (4,) or None."""
        with_object = [row for row, box in enumerate(truth) if box is not None]
        true = [torch.zeros(0, 4) if box is None else box[None] for box in truth]
        overlaps = [float(iou(boxes[row : row + 1], true[row])) for row in with_object]
        labels = [(box, torch.zeros(len(box), dtype=torch.int64)) for box in true]
        predictions = [
            Detections(box[None], torch.zeros(1, dtype=torch.int64), score[None])
            for box, score in zip(boxes, scores, strict=True)
        ]
        assert isinstance(self.config, LocalizeConfig)
        category = (self.config.object,)
        metrics = center_f1([prediction.above(0.5) for prediction in predictions], labels, category)
        metrics |= average_precision(predictions, labels, category, self.size)
        mean = sum(overlaps) / max(len(overlaps), 1)
        return metrics | {"mean_iou": mean, "quality": (metrics["f1"] + mean) / 2}


def presence_metrics(scores: Tensor, truth: Tensor, categories: Sequence[str]) -> dict[str, float]:
    """Measure the classification of images by the categories that they show.

    `balanced_accuracy/CATEGORY`: the mean of the accuracies on the images with it and on those without it (of one,
    where all images show it or none); `balanced_accuracy`: the mean over categories; `accuracy`: over all images and
    categories; `top1`, where each image shows exactly one category: the share of images whose most probable category it
    is. scores: (N, K) probabilities; truth: (N, K) 0 or 1.
    """
    right = (scores > 0.5) == (truth > 0.5)
    balanced = {}
    for category, name in enumerate(categories):
        parts = [right[:, category][truth[:, category] == value] for value in (0, 1)]
        accuracies = [float(part.float().mean()) for part in parts if len(part)]
        balanced[f"balanced_accuracy/{name}"] = sum(accuracies) / len(accuracies)
    mean = sum(balanced.values()) / len(balanced)
    metrics = {"balanced_accuracy": mean, "accuracy": float(right.float().mean()), **balanced}
    if (truth.sum(1) == 1).all():
        metrics["top1"] = float((scores.argmax(1) == truth.argmax(1)).float().mean())
    return metrics
