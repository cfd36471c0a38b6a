"""Networks that judge given boxes: of which class each is, how it should be moved, and which of its pixels are object.

`features` sees images once; `judge` looks at boxes in them. A crop network's features are the pixels themselves: every
box costs a pass through the convolutions. A region network's are the maps of a backbone, read inside each box.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rl_gen_lab.backbones.maps import build_for
from rl_gen_lab.vision.detection.boxes import clip, decode, nms, roi_align
from rl_gen_lab.vision.detection.common import DetectConfig, anchor_grid, per_anchor
from rl_gen_lab.vision.detection.positional_encoding import Positions
from rl_gen_lab.vision.segmentation import Scale

CONTEXT = 4.0  # pixels, at least, that a crop shows on each side of its box
UNITS = 128
MASK_CHANNELS = 32
PROPOSAL_IOU = 0.7  # learned proposals that overlap by more are one


class CropNetwork(nn.Module):
    """Each box, with its surroundings, is cut out, resized and classified by a small network.

    Source: Girshick et al. 2014, "Rich feature hierarchies", section 2 and appendix A (the surroundings: "context").
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
        """images: (B, C, H, W) uint8 -> the same as numbers."""
        return [self.scale(images)]

    def judge(self, features: list[Tensor], boxes: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """boxes: (M, 4) in images rows (M,) -> logits (M, 1 + K), 0 is background, and offsets (M, 4)."""
        around = ((boxes[:, 2:] - boxes[:, :2]) / 2).clamp(min=CONTEXT)
        wider = torch.cat((boxes[:, :2] - around, boxes[:, 2:] + around), 1)
        raw: Tensor = self.layers(roi_align(features[0], wider, rows, self.crop, 1, samples=1)).float()
        return raw[:, : self.classes], raw[:, self.classes :]


class RegionNetwork(nn.Module):
    """One pass of a backbone over the image; each box reads all its maps on a grid of cells.

    Optional: proposals from the coarsest map (`propose`), masks from a second, finer grid (`masks`).
    Source: Girshick 2015, "Fast R-CNN", section 2; all maps beside each other: Bell et al. 2016, "Inside-Outside Net",
    section 3.2; proposals: Ren et al. 2015, "Faster R-CNN", section 3.1; masks: He et al. 2017, "Mask R-CNN", figure 4.
    """

    anchors: Tensor

    def __init__(self, config: DetectConfig, shape: tuple[int, ...], shapes: Tensor, classes: int) -> None:
        super().__init__()
        self.backbone = build_for(config, shape)
        self.classes, self.cells, self.mask_cells = classes, config.cells, config.mask_cells
        self.proposals = config.proposals
        maps = self.backbone.feature_maps
        self.positions = Positions(maps[-1], config.positions)
        channels = sum(found.channels for found in maps) + self.positions.channels
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
        """images: (B, C, H, W) uint8 -> the backbone's maps, positions beside the coarsest."""
        *finer, coarsest = self.backbone.maps(images)
        return [*finer, self.positions(coarsest)]

    def aligned(self, features: list[Tensor], boxes: Tensor, rows: Tensor, cells: int) -> Tensor:
        """What all maps show inside boxes (M, 4) of images rows (M,) -> (M, C, cells, cells)."""
        return torch.cat(
            [
                roi_align(map_, boxes, rows, cells, about.stride, samples=1)
                for map_, about in zip(features, self.backbone.feature_maps, strict=True)
            ],
            1,
        )

    def judge(self, features: list[Tensor], boxes: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """As that of `CropNetwork`."""
        raw: Tensor = self.head(self.aligned(features, boxes, rows, self.cells)).float()
        return raw[:, : self.classes], raw[:, self.classes :]

    def propose(self, features: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Logits (B, A, 2) of background and object, offsets (B, A, 4) of A anchors in `anchors`."""
        assert self.proposer is not None
        return per_anchor(self.proposer(features[-1]), 2)

    def best_proposals(self, logits: Tensor, offsets: Tensor, size: tuple[int, int]) -> Tensor:
        """The proposals of one image of `size` (H, W). logits: (A, 2), offsets: (A, 4) -> (M, 4), best first."""
        scores = logits[:, 1] - logits[:, 0]
        best = scores.topk(min(2 * self.proposals, len(scores))).indices
        boxes = clip(decode(offsets[best], self.anchors[best]), *size)
        kept = ((boxes[:, 2:] - boxes[:, :2]) >= 1).all(1)
        boxes, scores = boxes[kept], scores[best][kept]
        return boxes[nms(boxes, scores, PROPOSAL_IOU)[: self.proposals]]

    def masks(self, features: list[Tensor], boxes: Tensor, rows: Tensor, kinds: Tensor) -> Tensor:
        """Logits (M, S, S) of the pixels of boxes (M, 4), each as an object of its class, kinds: (M,) from 0."""
        assert self.mask_head is not None
        raw: Tensor = self.mask_head(self.aligned(features, boxes, rows, self.mask_cells)).float()
        return raw[torch.arange(len(raw), device=raw.device), kinds]


def paste(masks: Tensor, boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Masks of boxes as masks of the image: read bilinearly in the middle of each pixel, nothing outside of its box.

    masks: (M, S, S) in [0, 1]; boxes: (M, 4) [px]; size: (H, W) -> (M, H, W) bool, above a half.
    """
    cells = masks.shape[-1]

    def weights(first: Tensor, last: Tensor, limit: int) -> Tensor:
        """(M, limit, S): what each cell counts for each row or column of pixels."""
        middles = torch.arange(limit, device=boxes.device, dtype=boxes.dtype) + 0.5
        inside = (middles >= first[:, None]) & (middles < last[:, None])
        places = (middles - first[:, None]) / (last - first).clamp(min=1e-6)[:, None] * cells - 0.5
        far = places.clamp(0, cells - 1)[..., None] - torch.arange(cells, device=boxes.device)
        return (1 - far.abs()).clamp(min=0) * inside[..., None]

    rows, columns = weights(boxes[:, 1], boxes[:, 3], size[0]), weights(boxes[:, 0], boxes[:, 2], size[1])
    return rows @ masks.to(boxes.dtype) @ columns.transpose(1, 2) > 0.5


def mask_targets(masks: Tensor, boxes: Tensor, cells: int) -> Tensor:
    """The right answer of `RegionNetwork.masks`. masks: (M, H, W) bool, of the objects of boxes (M, 4) -> (M, S, S)."""
    rows = torch.arange(len(boxes), device=boxes.device)
    return (roi_align(masks[:, None].to(boxes.dtype), boxes, rows, cells, 1, samples=1)[:, 0] > 0.5).float()


def mask_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Binary cross-entropy [nats], the mean over cells and boxes. Source: He et al. 2017, section 3."""
    total = F.binary_cross_entropy_with_logits(logits, targets, reduction="sum")
    return total / max(targets.numel(), 1)
