"""Anchors: their shapes from the training set, their grid over a feature map, their targets in the loss."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rl_gen_lab.backbones.convolutional import FeatureMap
from rl_gen_lab.data.dataset import Dataset, ObjectSizes, Split
from rl_gen_lab.vision.boxes import IGNORED, encode


def object_sizes(dataset: Dataset, count: int) -> ObjectSizes:
    """Return typical sizes (`count` at most) and the largest of the training objects, or the dataset's own `sizes`."""
    if dataset.sizes is not None:
        return dataset.sizes
    train = dataset.splits["train"]
    return ObjectSizes(cluster_shapes(train, count), all_sides(train).max(0).values)


def sizes_metadata(sizes: ObjectSizes) -> dict[str, Any]:
    """Return the sizes as plain values for a saved run: windows and proposals are made from them, not from weights."""
    return {"sizes": {"common": sizes.common.tolist(), "largest": sizes.largest.tolist()}}


def cluster_shapes(split: Split, count: int) -> Tensor:
    """Cluster the logarithms of the boxes' sides by k-means -> (A, 2) width and height [px], `count` at most.

    Source: Redmon and Farhadi 2017, "YOLO9000", section 2, "dimension clusters" (there by overlap).
    """
    sides = all_sides(split).log()
    distinct, counts = sides.mul(8).round().div(8).unique(dim=0, return_counts=True)
    means = distinct[counts.argsort(descending=True, stable=True)[:count]]
    for _ in range(20):
        nearest = torch.cdist(sides, means).argmin(1)
        means = torch.stack([sides[nearest == i].mean(0) if (nearest == i).any() else m for i, m in enumerate(means)])
    return means.exp()


def all_sides(split: Split) -> Tensor:
    """Return width and height [px] of every box of a split, (M, 2)."""
    return torch.cat([boxes[:, 2:] - boxes[:, :2] for boxes, _ in map(split.boxes, range(len(split)))])


def anchor_grid(feature_map: FeatureMap, shapes: Tensor) -> Tensor:
    """Return boxes of each shape (A, 2) around the center of each position of a map -> (H W A, 4) [px]."""
    y, x = torch.meshgrid(torch.arange(feature_map.height), torch.arange(feature_map.width), indexing="ij")
    middles = (torch.stack((x, y), -1)[:, :, None] + 0.5) * feature_map.stride
    return torch.cat((middles - shapes / 2, middles + shapes / 2), -1).reshape(-1, 4)


def per_anchor(raw: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """raw: (B, A' (K + 4), H, W) of a head -> logits (B, A, K) and offsets (B, A, 4), in the order of `anchor_grid`."""
    raw = raw.permute(0, 2, 3, 1).reshape(len(raw), -1, classes + 4).float()
    return raw[..., :classes], raw[..., classes:]


def anchor_targets(
    matched: Tensor, boxes: Tensor, categories: Tensor, anchors: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the targets of anchors (A, 4): classes (A,) int64, offsets (A, 4), and their use in the loss (A,) bool.

    matched: (A,) of `boxes.match`; boxes, categories: (M, 4) and (M,) of the objects.
    """
    positive = matched >= 0
    classes, offsets = torch.zeros_like(matched), torch.zeros_like(anchors)
    classes[positive] = 1 + categories[matched[positive]]
    offsets[positive] = encode(boxes[matched[positive]], anchors[positive])
    return classes, offsets, matched != IGNORED
