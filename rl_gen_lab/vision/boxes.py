"""The geometry of boxes: overlap, suppression, matching with anchors, offsets, and RoIAlign.

Boxes are (..., 4) float, x1 y1 x2 y2 [px], x1 <= x2 and y1 <= y2; the pixel in column 3 covers 3 to 4.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

BACKGROUND, IGNORED = -1, -2  # in place of the box that an anchor is matched with


def centers(boxes: Tensor) -> Tensor:
    """boxes: (..., 4) -> (..., 2) x, y of their centers [px]."""
    return (boxes[..., :2] + boxes[..., 2:]) / 2


def area(boxes: Tensor) -> Tensor:
    """boxes: (..., 4) -> (...) [px^2]."""
    return (boxes[..., 2:] - boxes[..., :2]).prod(-1)


def iou(first: Tensor, second: Tensor) -> Tensor:
    """Intersection over union of all pairs, 0 where both are empty. first: (M, 4), second: (N, 4) -> (M, N)."""
    low = torch.maximum(first[:, None, :2], second[None, :, :2])
    high = torch.minimum(first[:, None, 2:], second[None, :, 2:])
    common = (high - low).clamp(min=0).prod(-1)
    union = area(first)[:, None] + area(second)[None] - common
    return torch.where(union > 0, common / union.clamp(min=torch.finfo(first.dtype).tiny), 0.0)


def nms(boxes: Tensor, scores: Tensor, threshold: float) -> Tensor:
    """Non-maximum suppression: the best box stays, boxes that overlap it by more than `threshold` go, and so on.

    boxes: (M, 4); scores: (M,), of equal ones the first counts as better -> (N,) int64 indices, best first.
    Source: Girshick et al. 2014, "Rich feature hierarchies", section 2.2.
    """
    order = scores.argsort(descending=True, stable=True)
    overlaps = iou(boxes[order], boxes[order]) > threshold
    alive = torch.ones(len(order), dtype=torch.bool, device=boxes.device)
    for i in range(len(order)):
        if alive[i]:
            alive[i + 1 :] &= ~overlaps[i, i + 1 :]
    return order[alive]


def nms_of_classes(boxes: Tensor, scores: Tensor, classes: Tensor, threshold: float) -> Tensor:
    """`nms` within each class: boxes of other classes are moved out of reach. classes: (M,) int64."""
    if len(boxes) == 0:
        return torch.zeros(0, dtype=torch.int64, device=boxes.device)
    reach = boxes.max() - boxes.min() + 1
    return nms(boxes + (classes * reach)[:, None].to(boxes.dtype), scores, threshold)


def match(anchors: Tensor, boxes: Tensor, low: float, high: float) -> Tensor:
    """Match anchors with boxes. anchors: (A, 4), boxes: (M, 4) -> (A,) int64 index of a box or below 0.

    An anchor is matched with the box of the largest IoU, if it is at least `high`; below `low` it is BACKGROUND,
    between them IGNORED. Then each box takes its best anchor (of equal ones the nearest by center, so that a box
    without overlap takes one too); where two boxes take the same anchor, the later one keeps it.
    Source: Ren et al. 2015, "Faster R-CNN", section 3.1.2; Liu et al. 2016, "SSD", section 2.2.
    """
    if len(boxes) == 0 or len(anchors) == 0:
        return torch.full((len(anchors),), BACKGROUND, device=anchors.device)
    overlaps = iou(anchors, boxes)
    best, matched = overlaps.max(1)
    matched = torch.where(best >= high, matched, torch.where(best < low, BACKGROUND, IGNORED))
    distances = torch.cdist(centers(anchors), centers(boxes))
    tied = overlaps == overlaps.max(0).values
    nearest = torch.where(tied, distances, torch.inf).argmin(0)
    for index, anchor in enumerate(nearest.tolist()):
        matched[anchor] = index
    return matched


def encode(boxes: Tensor, anchors: Tensor) -> Tensor:
    """Encode boxes as offsets of anchors: shifts in units of the anchor's sides, and logarithms of the sides' ratios.

    boxes, anchors: (..., 4) of positive size -> (..., 4) dx dy dw dh.
    Source: Girshick et al. 2014, "Rich feature hierarchies", appendix C.
    """
    sides, anchor_sides = boxes[..., 2:] - boxes[..., :2], anchors[..., 2:] - anchors[..., :2]
    shift = (centers(boxes) - centers(anchors)) / anchor_sides
    return torch.cat((shift, (sides / anchor_sides).log()), -1)


def decode(offsets: Tensor, anchors: Tensor) -> Tensor:
    """Decode the offsets of `encode`; sides grow by at most e^4, against overflow. offsets, anchors: (..., 4)."""
    anchor_sides = anchors[..., 2:] - anchors[..., :2]
    center = centers(anchors) + offsets[..., :2] * anchor_sides
    half = anchor_sides * offsets[..., 2:].clamp(max=4).exp() / 2
    return torch.cat((center - half, center + half), -1)


def clip(boxes: Tensor, height: int, width: int) -> Tensor:
    """Clip boxes (..., 4) to the image."""
    limits = torch.tensor((width, height, width, height), dtype=boxes.dtype, device=boxes.device)
    return torch.minimum(boxes.clamp(min=0), limits)


def roi_align(maps: Tensor, boxes: Tensor, images: Tensor, size: int, stride: float, samples: int = 2) -> Tensor:
    """Read a map inside boxes, on a grid of `size` x `size` cells, each the mean of `samples` ^ 2 points (RoIAlign).

    Points are read bilinearly between the centers of positions; outside of these the nearest position counts. Nothing
    is rounded, and the result is differentiable in the map.
    Source: He et al. 2017, "Mask R-CNN", section 3.

    maps: (B, C, H, W), `stride` pixels a position; boxes: (M, 4) [px]; images: (M,) int64, the image of each box
    -> (M, C, size, size).
    """
    height, width = maps.shape[2:]
    side = size * samples
    steps = (torch.arange(side, dtype=boxes.dtype, device=boxes.device) + 0.5) / side
    limits = torch.tensor((width, height), dtype=boxes.dtype, device=boxes.device) * stride
    points = boxes[:, None, :2] + (boxes[:, 2:] - boxes[:, :2])[:, None] * steps[:, None]  # (M, side, 2) x and y
    points = 2 * points / limits - 1  # -1 and 1 are the map's edges
    x, y = points[:, None, :, 0].expand(-1, side, -1), points[:, :, None, 1].expand(-1, -1, side)
    grid = torch.stack((x, y), -1)
    order = images.argsort(stable=True)
    parts = []
    for image, chosen in zip(*_groups(images[order], order), strict=True):
        stacked = grid[chosen].flatten(0, 1)[None]  # (1, M' side, side, 2): all boxes of an image below each other
        values = F.grid_sample(
            maps[image : image + 1].to(boxes.dtype), stacked, "bilinear", "border", align_corners=False
        )
        cells = F.avg_pool2d(values[0], samples) if samples > 1 else values[0]  # (C, M' size, size)
        parts.append(cells.unflatten(1, (len(chosen), size)).transpose(0, 1))
    if not parts:
        return maps.new_zeros(0, maps.shape[1], size, size)
    return torch.cat(parts)[order.argsort()]


def _groups(images: Tensor, order: Tensor) -> tuple[list[int], tuple[Tensor, ...]]:
    """Return the images that have boxes, and the boxes of each. images: (M,) sorted; order: (M,) indices of boxes."""
    which, counts = images.unique_consecutive(return_counts=True)
    return which.tolist(), order.split(counts.tolist())
