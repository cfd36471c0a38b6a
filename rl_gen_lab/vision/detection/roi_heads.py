"""Second stages: networks that classify and refine given boxes and predict their masks.

`features` processes images once, `classify_boxes` then reads boxes of them. The features of a crop network are the
pixels themselves: each box costs a pass through the convolutions. Those of a region network are the maps of a backbone.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rl_gen_lab.backbones.blocks import Scale
from rl_gen_lab.backbones.maps import build_for
from rl_gen_lab.vision.boxes import clip, decode, nms, roi_align
from rl_gen_lab.vision.detection.anchors import anchor_grid, per_anchor
from rl_gen_lab.vision.detection.config import DetectConfig
from rl_gen_lab.vision.detection.positional_encoding import PositionalEncoding

MIN_CONTEXT = 4.0  # pixels around a box on each side of a crop
UNITS = 128
MASK_CHANNELS = 32
PROPOSAL_IOU = 0.7  # of non-maximum suppression of learned proposals


class CropNetwork(nn.Module):
    """A small network for boxes that are cropped with their context and resized.

    Source: Girshick et al. 2014, "Rich feature hierarchies", section 2 and appendix A ("context").
    """

    def __init__(self, scale: Scale, channels: int, classes: int, width: int, crop: int) -> None:
        super().__init__()
        self.scale, self.classes, self.crop = scale, classes, crop
        cells = -(-crop // 4)
        self.layers = nn.Sequential(
            nn.Conv2d(channels, width, 3, 2, 1),
            nn.ReLU(),
            nn.Conv2d(width, 2 * width, 3, 2, 1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(2 * width * cells**2, UNITS),
            nn.ReLU(),
            nn.Linear(UNITS, classes + 4),
        )

    def features(self, images: Tensor) -> list[Tensor]:
        """images: (B, C, H, W) uint8 -> the same, standardized."""
        return [self.scale(images)]

    def classify_boxes(self, features: list[Tensor], boxes: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """boxes: (M, 4) of the images `rows` (M,) -> logits (M, 1 + K), 0 is background, and offsets (M, 4)."""
        margin = ((boxes[:, 2:] - boxes[:, :2]) / 2).clamp(min=MIN_CONTEXT)
        wider = torch.cat((boxes[:, :2] - margin, boxes[:, 2:] + margin), 1)
        raw: Tensor = self.layers(roi_align(features[0], wider, rows, self.crop, 1, samples=1)).float()
        return raw[:, : self.classes], raw[:, self.classes :]


class RegionNetwork(nn.Module):
    """A backbone passes over the image once; each box reads all its maps on a grid of cells.

    Optional: proposals from the coarsest map (`propose`), masks from a second, finer grid (`masks`).
    Source: Girshick 2015, "Fast R-CNN", section 2; all maps concatenated: Bell et al. 2016, "Inside-Outside Net",
    section 3.2; proposals: Ren et al. 2015, "Faster R-CNN", section 3.1; masks: He et al. 2017, "Mask R-CNN", figure 4.
    """

    anchors: Tensor

    def __init__(self, config: DetectConfig, shape: tuple[int, ...], shapes: Tensor, classes: int) -> None:
        super().__init__()
        self.backbone = build_for(config, shape)
        self.classes, self.cells, self.mask_cells = classes, config.cells, config.mask_cells
        self.proposals = config.proposals
        maps = self.backbone.feature_maps
        self.positions = PositionalEncoding(maps[-1], config.positions)
        channels = sum(map_.channels for map_ in maps) + self.positions.channels
        self.head = nn.Sequential(
            nn.Flatten(), nn.Linear(channels * self.cells**2, UNITS), nn.ReLU(), nn.Linear(UNITS, classes + 4)
        )
        self.register_buffer("anchors", anchor_grid(maps[-1], shapes))
        self.proposer: nn.Conv2d | None = None
        if config.model in ("faster-rcnn", "mask-rcnn"):
            coarsest = maps[-1].channels + self.positions.channels
            self.proposer = nn.Conv2d(coarsest, len(shapes) * (2 + 4), 3, padding=1)
            nn.init.normal_(self.proposer.weight, std=0.01)
        self.mask_head: nn.Sequential | None = None
        if config.model == "mask-rcnn":
            self.mask_head = nn.Sequential(
                nn.Conv2d(channels, MASK_CHANNELS, 3, padding=1),
                nn.ReLU(),
                nn.Conv2d(MASK_CHANNELS, MASK_CHANNELS, 3, padding=1),
                nn.ReLU(),
                nn.ConvTranspose2d(MASK_CHANNELS, MASK_CHANNELS, 2, 2),
                nn.ReLU(),
                nn.Conv2d(MASK_CHANNELS, classes - 1, 1),
            )

    def features(self, images: Tensor) -> list[Tensor]:
        """images: (B, C, H, W) uint8 -> the backbone's maps, the coarsest with its positional encoding."""
        *finer, coarsest = self.backbone.maps(images)
        return [*finer, self.positions(coarsest)]

    def read_boxes(self, features: list[Tensor], boxes: Tensor, rows: Tensor, cells: int) -> Tensor:
        """Read all maps inside boxes (M, 4) of the images `rows` (M,) -> (M, C, cells, cells)."""
        return torch.cat(
            [
                roi_align(map_, boxes, rows, cells, geometry.stride, samples=1)
                for map_, geometry in zip(features, self.backbone.feature_maps, strict=True)
            ],
            1,
        )

    def classify_boxes(self, features: list[Tensor], boxes: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Classify boxes, as `CropNetwork` does."""
        raw: Tensor = self.head(self.read_boxes(features, boxes, rows, self.cells)).float()
        return raw[:, : self.classes], raw[:, self.classes :]

    def propose(self, features: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Return logits (B, A, 2) of background and object and offsets (B, A, 4) of A anchors in `anchors`."""
        assert self.proposer is not None
        return per_anchor(self.proposer(features[-1]), 2)

    def best_proposals(self, logits: Tensor, offsets: Tensor, size: tuple[int, int]) -> Tensor:
        """Select the proposals of an image of `size` (H, W). logits: (A, 2), offsets: (A, 4) -> (M, 4), best first."""
        scores = logits[:, 1] - logits[:, 0]
        best = scores.topk(min(2 * self.proposals, len(scores))).indices
        boxes = clip(decode(offsets[best], self.anchors[best]), *size)
        kept = ((boxes[:, 2:] - boxes[:, :2]) >= 1).all(1)
        boxes, scores = boxes[kept], scores[best][kept]
        return boxes[nms(boxes, scores, PROPOSAL_IOU)[: self.proposals]]

    def masks(self, features: list[Tensor], boxes: Tensor, rows: Tensor, categories: Tensor) -> Tensor:
        """Return logits (M, S, S) of the masks of boxes (M, 4), each for its category, (M,) from 0."""
        assert self.mask_head is not None
        raw: Tensor = self.mask_head(self.read_boxes(features, boxes, rows, self.mask_cells)).float()
        return raw[torch.arange(len(raw), device=raw.device), categories]


def paste(masks: Tensor, boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Paste the masks of boxes into the image, bilinear at the center of each pixel, empty outside of the box.

    masks: (M, S, S) in [0, 1]; boxes: (M, 4) [px]; size: (H, W) -> (M, H, W) bool, above a half.
    """
    cells = masks.shape[-1]

    def weights(first: Tensor, last: Tensor, limit: int) -> Tensor:
        """Return the weights of the cells for each row or column of pixels, (M, limit, S)."""
        centers = torch.arange(limit, device=boxes.device, dtype=boxes.dtype) + 0.5
        inside = (centers >= first[:, None]) & (centers < last[:, None])
        positions = (centers - first[:, None]) / (last - first).clamp(min=1e-6)[:, None] * cells - 0.5
        distances = positions.clamp(0, cells - 1)[..., None] - torch.arange(cells, device=boxes.device)
        return (1 - distances.abs()).clamp(min=0) * inside[..., None]

    rows, columns = weights(boxes[:, 1], boxes[:, 3], size[0]), weights(boxes[:, 0], boxes[:, 2], size[1])
    return rows @ masks.to(boxes.dtype) @ columns.transpose(1, 2) > 0.5


def mask_targets(masks: Tensor, boxes: Tensor, cells: int) -> Tensor:
    """Return the targets of `RegionNetwork.masks`. masks: (M, H, W) bool, of boxes (M, 4) -> (M, S, S)."""
    rows = torch.arange(len(boxes), device=boxes.device)
    return (roi_align(masks[:, None].to(boxes.dtype), boxes, rows, cells, 1, samples=1)[:, 0] > 0.5).float()


def mask_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Binary cross-entropy [nats], averaged over cells and boxes. Source: He et al. 2017, section 3."""
    total = F.binary_cross_entropy_with_logits(logits, targets, reduction="sum")
    return total / max(targets.numel(), 1)
