"""How well boxes are found: F1 by the distance of centres, and COCO's average precision."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rl_gen_lab.vision.detection.boxes import centres

CENTRE_PIXELS = 3.0
MOST = 200  # objects of an image in the average precision


@dataclass(frozen=True)
class Found:
    """What was found in an image. boxes: (M, 4) [px]; classes: (M,) int64; scores: (M,) in [0, 1], best first.

    masks: (M, H, W) bool, None from detectors that find none.
    """

    boxes: Tensor
    classes: Tensor
    scores: Tensor
    masks: Tensor | None = None

    def above(self, score: float) -> Found:
        """What has at least this score."""
        kept = self.scores >= score
        masks = None if self.masks is None else self.masks[kept]
        return Found(self.boxes[kept], self.classes[kept], self.scores[kept], masks)


def hits(found: Tensor, truth: Tensor, pixels: float = CENTRE_PIXELS) -> int:
    """Found boxes (M, 4), best first, that have a true box (N, 4) for themselves with its centre within `pixels`."""
    far = torch.cdist(centres(found.double()), centres(truth.double()))
    count = 0
    for row in range(len(found)):
        if far.shape[1] and float(far[row].min()) <= pixels:
            far[:, int(far[row].argmin())] = torch.inf
            count += 1
    return count


def centre_f1(
    found: Sequence[Found], truth: Sequence[tuple[Tensor, Tensor]], categories: Sequence[str]
) -> dict[str, float]:
    """`f1` of all objects and `f1/CATEGORY`: 2 hits / (found + true), over all images of a split.

    A small ball that is one pixel off has an overlap of a third: distances are fairer to sprites than overlaps.
    truth: boxes (N, 4) and classes (N,) of each image.
    """
    good, made = [0] * len(categories), [0] * len(categories)
    for one, (boxes, classes) in zip(found, truth, strict=True):
        for kind in range(len(categories)):
            mine, true = one.boxes[one.classes == kind], boxes[classes == kind]
            good[kind] += hits(mine, true)
            made[kind] += len(mine) + len(true)
    scores = {f"f1/{name}": 2 * good[i] / made[i] for i, name in enumerate(categories) if made[i]}
    return {"f1": 2 * sum(good) / max(sum(made), 1)} | scores


def average_precision(
    found: Sequence[Found],
    truth: Sequence[tuple[Tensor, Tensor]],
    categories: Sequence[str],
    size: tuple[int, int],
    masks: tuple[Sequence[Sequence[Any]], Sequence[Sequence[Any]]] | None = None,
) -> dict[str, float]:
    """COCO's `ap` (mean over overlaps 0.5 to 0.95), `ap50`, and `ap50/CATEGORY`; nothing without faster-coco-eval.

    Unlike COCO, up to `MOST` objects an image count, not 100: a wall has more bricks.
    size: (H, W) of the images; masks: `run_lengths` of what was found and of the truth, image by image, whose overlaps
    are then measured instead of those of boxes. Source: Lin et al. 2014; computed by faster-coco-eval.
    """
    try:
        from faster_coco_eval import COCO, COCOeval_faster
    except ImportError:
        return {}
    images = [{"id": i, "height": size[0], "width": size[1]} for i in range(len(truth))]
    kinds = [{"id": i, "name": name} for i, name in enumerate(categories)]
    shown = ([None] * len(one.boxes) for one in found) if masks is None else masks[0]
    true = ([None] * len(boxes) for boxes, _ in truth) if masks is None else masks[1]
    labels = [
        _record(i, box, kind, mask)
        for i, (part, true_masks) in enumerate(zip(truth, true, strict=True))
        for box, kind, mask in zip(*part, true_masks, strict=True)
    ]
    labels = [label | {"id": i} for i, label in enumerate(labels, 1)]
    results = [
        _record(i, box, kind, mask) | {"score": float(score)}
        for i, (one, found_masks) in enumerate(zip(found, shown, strict=True))
        for box, kind, score, mask in zip(one.boxes, one.classes, one.scores, found_masks, strict=True)
    ]
    if not results or not labels:
        return {"ap": 0.0, "ap50": 0.0}
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO({"images": images, "annotations": labels, "categories": kinds})
        judge = COCOeval_faster(coco, coco.loadRes(results), "bbox" if masks is None else "segm")
        judge.params.maxDets = [1, 10, MOST]
        judge.evaluate()
        judge.accumulate()
    precision = judge.eval["precision"][:, :, :, 0, -1]  # (overlaps, recalls, categories), -1 without truth
    known = precision[0, 0] >= 0
    each = {f"ap50/{name}": float(precision[0, :, i].mean()) for i, name in enumerate(categories) if known[i]}
    return {"ap": float(precision[:, :, known].mean()), "ap50": float(precision[0][:, known].mean())} | each


def run_lengths(masks: Tensor) -> Sequence[Any]:
    """Masks (M, H, W) bool as `average_precision` takes them; None each without faster-coco-eval."""
    try:
        from faster_coco_eval.core import mask as coder
    except ImportError:
        return [None] * len(masks)
    return [coder.encode(np.asfortranarray(mask, dtype=np.uint8)) for mask in masks.numpy()]


def _record(image: int, box: Tensor, kind: Tensor, mask: Any) -> dict[str, Any]:
    x1, y1, x2, y2 = box.tolist()
    sides = [x1, y1, x2 - x1, y2 - y1]
    record = {"image_id": image, "category_id": int(kind), "bbox": sides, "area": sides[2] * sides[3], "iscrowd": 0}
    return record if mask is None else record | {"segmentation": mask}
