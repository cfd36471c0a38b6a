"""Metrics of detected boxes: F1 by the distance of centers, and COCO's average precision."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rl_gen_lab.vision.boxes import centers

HIT_PIXELS = 3.0  # distance of the centers up to which a detection is right
MAX_DETECTIONS = 200  # of an image in the average precision


@dataclass(frozen=True)
class Detections:
    """The detected objects of an image. boxes: (M, 4) [px]; classes: (M,) int64; scores: (M,) in [0, 1], best first.

    masks: (M, H, W) bool, None from detectors without masks.
    """

    boxes: Tensor
    classes: Tensor
    scores: Tensor
    masks: Tensor | None = None

    def above(self, score: float) -> Detections:
        """Keep the objects of at least this score."""
        kept = self.scores >= score
        masks = None if self.masks is None else self.masks[kept]
        return Detections(self.boxes[kept], self.classes[kept], self.scores[kept], masks)


def count_hits(boxes: Tensor, truth: Tensor, pixels: float = HIT_PIXELS) -> int:
    """Count boxes (M, 4), best first, that match a true box (N, 4) of their own with its center within `pixels`."""
    distances = torch.cdist(centers(boxes.double()), centers(truth.double()))
    count = 0
    for row in range(len(boxes)):
        if distances.shape[1] and float(distances[row].min()) <= pixels:
            distances[:, int(distances[row].argmin())] = torch.inf
            count += 1
    return count


def center_f1(
    detections: Sequence[Detections], truth: Sequence[tuple[Tensor, Tensor]], categories: Sequence[str]
) -> dict[str, float]:
    """Compute `f1` of all objects and `f1/CATEGORY`: 2 hits / (detected + true), over all images of a split.

    A small ball that is one pixel off has an IoU of a third: distances are fairer to sprites than overlaps.
    truth: boxes (N, 4) and classes (N,) of each image.
    """
    hits, totals = [0] * len(categories), [0] * len(categories)
    for image, (boxes, classes) in zip(detections, truth, strict=True):
        for category in range(len(categories)):
            detected, true = image.boxes[image.classes == category], boxes[classes == category]
            hits[category] += count_hits(detected, true)
            totals[category] += len(detected) + len(true)
    scores = {f"f1/{name}": 2 * hits[i] / totals[i] for i, name in enumerate(categories) if totals[i]}
    return {"f1": 2 * sum(hits) / max(sum(totals), 1)} | scores


def average_precision(
    detections: Sequence[Detections],
    truth: Sequence[tuple[Tensor, Tensor]],
    categories: Sequence[str],
    size: tuple[int, int],
    masks: tuple[Sequence[Sequence[Any]], Sequence[Sequence[Any]]] | None = None,
) -> dict[str, float]:
    """Compute COCO's `ap` (mean over IoU 0.5 to 0.95), `ap50`, `ap50/CATEGORY`.

    Unlike COCO, up to `MAX_DETECTIONS` objects an image count, not 100: a wall has more bricks.
    size: (H, W) of the images; masks: `run_lengths` of the detections and of the truth, image by image, whose overlaps
    are then measured instead of those of boxes. Source: Lin et al. 2014; computed by faster-coco-eval.
    """
    from faster_coco_eval import COCO, COCOeval_faster  # late: it imports OpenCV where that is installed

    images = [{"id": i, "height": size[0], "width": size[1]} for i in range(len(truth))]
    classes = [{"id": i, "name": name} for i, name in enumerate(categories)]
    detected = ([None] * len(image.boxes) for image in detections) if masks is None else masks[0]
    true = ([None] * len(boxes) for boxes, _ in truth) if masks is None else masks[1]
    labels = [
        _record(i, box, category, mask)
        for i, (part, true_masks) in enumerate(zip(truth, true, strict=True))
        for box, category, mask in zip(*part, true_masks, strict=True)
    ]
    labels = [label | {"id": i} for i, label in enumerate(labels, 1)]
    results = [
        _record(i, box, category, mask) | {"score": float(score)}
        for i, (image, image_masks) in enumerate(zip(detections, detected, strict=True))
        for box, category, score, mask in zip(image.boxes, image.classes, image.scores, image_masks, strict=True)
    ]
    if not results or not labels:
        return {"ap": 0.0, "ap50": 0.0}
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO({"images": images, "annotations": labels, "categories": classes})
        evaluation = COCOeval_faster(coco, coco.loadRes(results), "bbox" if masks is None else "segm")
        evaluation.params.maxDets = [1, 10, MAX_DETECTIONS]
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"][:, :, :, 0, -1]  # (overlaps, recalls, categories), -1 without truth
    known = precision[0, 0] >= 0
    by_category = {f"ap50/{name}": float(precision[0, :, i].mean()) for i, name in enumerate(categories) if known[i]}
    return {"ap": float(precision[:, :, known].mean()), "ap50": float(precision[0][:, known].mean())} | by_category


def run_lengths(masks: Tensor) -> Sequence[Any]:
    """Encode masks (M, H, W) bool for `average_precision`."""
    from faster_coco_eval.core import mask as coder

    return [coder.encode(np.asfortranarray(mask, dtype=np.uint8)) for mask in masks.numpy()]


def _record(image: int, box: Tensor, category: Tensor, mask: Any) -> dict[str, Any]:
    x1, y1, x2, y2 = box.tolist()
    sides = [x1, y1, x2 - x1, y2 - y1]
    record = {"image_id": image, "category_id": int(category), "bbox": sides, "area": sides[2] * sides[3], "iscrowd": 0}
    return record if mask is None else record | {"segmentation": mask}
