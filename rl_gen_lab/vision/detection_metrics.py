"""How well boxes are found: F1 by the distance of centres, and COCO's average precision."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from rl_gen_lab.vision.boxes import centres

CENTRE_PIXELS = 3.0


@dataclass(frozen=True)
class Found:
    """What was found in an image. boxes: (M, 4) [px]; classes: (M,) int64; scores: (M,) in [0, 1], best first."""

    boxes: Tensor
    classes: Tensor
    scores: Tensor

    def above(self, score: float) -> Found:
        """What has at least this score."""
        kept = self.scores >= score
        return Found(self.boxes[kept], self.classes[kept], self.scores[kept])


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
    found: Sequence[Found], truth: Sequence[tuple[Tensor, Tensor]], categories: Sequence[str], size: tuple[int, int]
) -> dict[str, float]:
    """COCO's `ap` (mean over overlaps 0.5 to 0.95), `ap50`, and `ap50/CATEGORY`; nothing without faster-coco-eval.

    size: (H, W) of the images. Source: Lin et al. 2014; computed by faster-coco-eval.
    """
    try:
        from faster_coco_eval import COCO, COCOeval_faster
    except ImportError:
        return {}
    images = [{"id": i, "height": size[0], "width": size[1]} for i in range(len(truth))]
    kinds = [{"id": i, "name": name} for i, name in enumerate(categories)]
    labels = [_record(i, box, kind) for i, part in enumerate(truth) for box, kind in zip(*part, strict=True)]
    labels = [label | {"id": i} for i, label in enumerate(labels, 1)]
    results = [
        _record(i, box, kind) | {"score": float(score)}
        for i, one in enumerate(found)
        for box, kind, score in zip(one.boxes, one.classes, one.scores, strict=True)
    ]
    if not results or not labels:
        return {"ap": 0.0, "ap50": 0.0}
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO({"images": images, "annotations": labels, "categories": kinds})
        judge = COCOeval_faster(coco, coco.loadRes(results), "bbox")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    precision = judge.eval["precision"][0, :, :, 0, -1]  # at overlap 0.5: (recalls, categories), -1 without truth
    each = {f"ap50/{name}": float(precision[:, i].mean()) for i, name in enumerate(categories)}
    scores = {name: value for name, value in each.items() if value >= 0}
    return {"ap": float(judge.stats[0]), "ap50": float(judge.stats[1])} | scores


def _record(image: int, box: Tensor, kind: Tensor) -> dict[str, Any]:
    x1, y1, x2, y2 = box.tolist()
    sides = [x1, y1, x2 - x1, y2 - y1]
    return {"image_id": image, "category_id": int(kind), "bbox": sides, "area": sides[2] * sides[3], "iscrowd": 0}
