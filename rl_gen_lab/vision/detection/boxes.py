"""The geometry of boxes: overlap, suppression, matching with anchors, coding, and reading a map inside a box.

Boxes are (..., 4) float, x1 y1 x2 y2 [px], x1 <= x2 and y1 <= y2; the pixel in column 3 covers 3 to 4.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

BACKGROUND, IGNORED = -1, -2  # what an anchor is matched with if not with a box


def centres(boxes: Tensor) -> Tensor:
    """boxes: (..., 4) -> (..., 2) x, y of their middles [px]."""
    return (boxes[..., :2] + boxes[..., 2:]) / 2


def area(boxes: Tensor) -> Tensor:
    """boxes: (..., 4) -> (...) [px^2]."""
    return (boxes[..., 2:] - boxes[..., :2]).prod(-1)


def iou(one: Tensor, other: Tensor) -> Tensor:
    """Intersection over union of every pair; 0 where both are empty. one: (M, 4), other: (N, 4) -> (M, N) in [0, 1]."""
    low = torch.maximum(one[:, None, :2], other[None, :, :2])
    high = torch.minimum(one[:, None, 2:], other[None, :, 2:])
    common = (high - low).clamp(min=0).prod(-1)
    union = area(one)[:, None] + area(other)[None] - common
    return torch.where(union > 0, common / union.clamp(min=torch.finfo(one.dtype).tiny), 0.0)


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
    """Which box each anchor has to find. anchors: (A, 4), boxes: (M, 4) -> (A,) int64 index of a box or below 0.

    An anchor takes the box that it overlaps most, if by at least `high`; below `low` it is BACKGROUND, between them
    IGNORED. Every box then takes its best anchor (of equal ones the nearest by centre, so that a box that no anchor
    overlaps takes one too); where two boxes want the same anchor, the later box has it.
    Source: Ren et al. 2015, "Faster R-CNN", section 3.1.2; Liu et al. 2016, "SSD", section 2.2.
    """
    if len(boxes) == 0 or len(anchors) == 0:
        return torch.full((len(anchors),), BACKGROUND, device=anchors.device)
    overlaps = iou(anchors, boxes)
    best, found = overlaps.max(1)
    found = torch.where(best >= high, found, torch.where(best < low, BACKGROUND, IGNORED))
    far = torch.cdist(centres(anchors), centres(boxes))
    tied = overlaps == overlaps.max(0).values
    nearest = torch.where(tied, far, torch.inf).argmin(0)
    for index, anchor in enumerate(nearest.tolist()):
        found[anchor] = index
    return found


def encode(boxes: Tensor, anchors: Tensor) -> Tensor:
    """What to add to anchors to get boxes: shifts in units of the anchor's sides, and logarithms of the sides' ratios.

    boxes, anchors: (..., 4) of positive size -> (..., 4) dx dy dw dh.
    Source: Girshick et al. 2014, "Rich feature hierarchies", appendix C.
    """
    sides, anchor_sides = boxes[..., 2:] - boxes[..., :2], anchors[..., 2:] - anchors[..., :2]
    shift = (centres(boxes) - centres(anchors)) / anchor_sides
    return torch.cat((shift, (sides / anchor_sides).log()), -1)


def decode(offsets: Tensor, anchors: Tensor) -> Tensor:
    """Undo `encode`; sides grow by at most e^4, lest an untrained network overflow. offsets, anchors: (..., 4)."""
    anchor_sides = anchors[..., 2:] - anchors[..., :2]
    middle = centres(anchors) + offsets[..., :2] * anchor_sides
    half = anchor_sides * offsets[..., 2:].clamp(max=4).exp() / 2
    return torch.cat((middle - half, middle + half), -1)


def clip(boxes: Tensor, height: int, width: int) -> Tensor:
    """The part of boxes (..., 4) that lies in the image."""
    limits = torch.tensor((width, height, width, height), dtype=boxes.dtype, device=boxes.device)
    return torch.minimum(boxes.clamp(min=0), limits)


def roi_align(maps: Tensor, boxes: Tensor, images: Tensor, size: int, stride: float, samples: int = 2) -> Tensor:
    """What a map shows inside boxes, on a grid of `size` x `size` cells, each the mean of `samples` ^ 2 points.

    Points are read bilinearly between the middles of positions; outside of these the nearest position counts. Nothing
    is rounded, and the result can be differentiated by the map.
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
    found = []
    for image, chosen in zip(*_groups(images[order], order), strict=True):
        places = grid[chosen].flatten(0, 1)[None]  # (1, M' side, side, 2): all boxes of an image below each other
        read = F.grid_sample(maps[image : image + 1].to(boxes.dtype), places, "bilinear", "border", align_corners=False)
        cells = F.avg_pool2d(read[0], samples) if samples > 1 else read[0]  # (C, M' size, size)
        found.append(cells.unflatten(1, (len(chosen), size)).transpose(0, 1))
    if not found:
        return maps.new_zeros(0, maps.shape[1], size, size)
    return torch.cat(found)[order.argsort()]


def _groups(images: Tensor, order: Tensor) -> tuple[list[int], tuple[Tensor, ...]]:
    """The images that have boxes, and the boxes of each. images: (M,) sorted; order: (M,) indices of these boxes."""
    which, counts = images.unique_consecutive(return_counts=True)
    return which.tolist(), order.split(counts.tolist())
