"""The parts that all detectors share: the loss of boxes, the selection of detections, the metrics of a split."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from rl_gen_lab.data.dataset import Split
from rl_gen_lab.vision.box_metrics import Detections, average_precision, center_f1, run_lengths
from rl_gen_lab.vision.boxes import clip, nms_of_classes
from rl_gen_lab.vision.detection.config import DetectConfig

EVALUATION_BATCH = 8
NEGATIVES = 3  # background boxes in the loss for each box with an object, those of the highest loss
MIN_NEGATIVES = 16  # of an image, however few objects it shows


def box_loss(
    logits: Tensor,
    offsets: Tensor,
    classes: Tensor,
    target_offsets: Tensor,
    used: Tensor,
    *,
    label_smoothing: float = 0.0,
) -> dict[str, Tensor]:
    """Cross-entropy and smooth L1 of the offsets, sums divided by the batch's boxes with objects; "loss" is their sum.

    Hard negative mining: per image only the background boxes of the highest loss contribute, `NEGATIVES` for each box
    with an object. Boxes with objects are weighted by the inverse square root of their class's frequency in the batch,
    so that a hundred bricks do not drown one ball.
    Source: Girshick 2015, "Fast R-CNN", section 2.3; Liu et al. 2016, "SSD", section 2.2, "hard negative mining";
    the root: Mahajan et al. 2018, "Exploring the Limits of Weakly Supervised Pretraining", section 2.2.

    logits: (B, A, K); offsets, target_offsets: (B, A, 4); classes: (B, A) int64, 0 is background; used: (B, A) bool,
    False for boxes that are left out.
    """
    entropy = F.cross_entropy(logits.transpose(1, 2), classes, reduction="none", label_smoothing=label_smoothing)
    positive = (classes > 0) & used
    total = positive.sum().clamp(min=1)
    background = torch.where(positive | ~used, 0.0, entropy)
    ranks = background.detach().argsort(1, descending=True).argsort(1)
    negatives = (NEGATIVES * positive.sum(1, keepdim=True)).clamp(min=MIN_NEGATIVES)
    rarity = torch.bincount(classes[positive], minlength=logits.shape[-1]).clamp(min=1).rsqrt()[classes[positive]]
    weights = rarity * total / rarity.sum().clamp(min=1e-9)  # 1 on average
    class_loss = (weights * entropy[positive]).sum() + background[ranks < negatives].sum()
    errors = F.smooth_l1_loss(offsets[positive], target_offsets[positive], reduction="none", beta=0.1)
    offset_loss = (weights[:, None] * errors).sum()
    return {
        "loss": (class_loss + offset_loss) / total,
        "class": class_loss.detach() / total,
        "box": offset_loss.detach() / total,
    }


def select_detections(config: DetectConfig, scores: Tensor, boxes: Tensor, size: tuple[int, int]) -> Detections:
    """Select from boxes (A, 4) with class scores (A, K), without background, in an image of `size` (H, W)."""
    score, category = scores.max(1)
    kept = (score > config.least_score).nonzero()[:, 0]
    kept = kept[score[kept].argsort(descending=True, stable=True)][: 4 * config.most]
    boxes = clip(boxes[kept], *size)
    best = nms_of_classes(boxes, score[kept], category[kept], config.nms_iou)[: config.most]
    return Detections(boxes[best].cpu(), category[kept][best].cpu(), score[kept][best].cpu())


def evaluate_detector(
    predict: Callable[[Tensor], list[Detections]],
    config: DetectConfig,
    categories: tuple[str, ...],
    split: Split,
    on_image: Callable[[int], None],
) -> dict[str, float]:
    """Compute the F1 of centers (also of each category) and average precision.

    Of models that predict masks also their average precision (`mask_ap`, `mask_ap50`). `quality`, the mean of F1 and
    the average precisions, decides which weights are best: F1 soon stays at 1 while boxes become ever more exact.
    """
    detections: list[Detections] = []
    masks: list[Sequence[object]] = []
    for start in range(0, len(split), EVALUATION_BATCH):
        for prediction in predict(split.images[start : start + EVALUATION_BATCH]):
            if prediction.masks is not None:
                masks.append(run_lengths(prediction.masks))
            detections.append(replace(prediction, masks=None))
        on_image(len(detections))
    truth = [split.boxes(i) for i in range(len(split))]
    size = (split.images.shape[2], split.images.shape[3])
    scores = center_f1([prediction.above(config.score) for prediction in detections], truth, categories)
    scores |= average_precision(detections, truth, categories, size)
    if masks:
        true_masks = [run_lengths(split.masks(i)) for i in range(len(split))]
        mask_scores = average_precision(detections, truth, categories, size, (masks, true_masks))
        scores |= {f"mask_{name}": value for name, value in mask_scores.items()}
    parts = [scores[name] for name in ("f1", "ap", "mask_ap") if name in scores]
    return scores | {"quality": sum(parts) / len(parts)}
