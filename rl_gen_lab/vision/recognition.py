"""Which classes a picture shows, and where the one object of a chosen class is: both from one network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rl_gen_lab.backbones.config import BackboneConfig
from rl_gen_lab.backbones.convolutional import Convolutional
from rl_gen_lab.backbones.maps import build_for
from rl_gen_lab.cli.errors import ConfigError, suggest
from rl_gen_lab.data.coco import DataError
from rl_gen_lab.data.dataset import Dataset, Split
from rl_gen_lab.vision.detection.boxes import centres, iou
from rl_gen_lab.vision.detection.metrics import Found, average_precision, centre_f1
from rl_gen_lab.vision.smoothing import check_smoothing

EVALUATION_BATCH = 8


@dataclass(frozen=True)
class ClassifyConfig:
    """Classification: which categories a picture shows, none, one or several."""

    # How the last map becomes one vector; a ball is at one position of two thousand, which an average hardly shows.
    model: Literal["max", "average"] = "max"
    # Network under the model, such as resnet, densenet, impala: one of rl_gen_lab/backbones.
    backbone: str = "resnet"
    choices: BackboneConfig = field(default_factory=lambda: BackboneConfig(width=16, stages=2, depth=2, norm="batch"))
    # Certainties in the loss: this much less than 1 and 0, half of it each.
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        check_smoothing(self.label_smoothing)


@dataclass(frozen=True)
class LocalizeConfig:
    """Localisation: which categories a picture shows, and the box of one object."""

    # As in `classify`.
    model: Literal["max", "average"] = "max"
    # Category of the object whose box is learned. Where a picture shows several, the first of its labels counts.
    object: str = "ball"
    # Network under the model, such as resnet, densenet, impala: one of rl_gen_lab/backbones.
    backbone: str = "resnet"
    choices: BackboneConfig = field(default_factory=lambda: BackboneConfig(width=16, stages=2, depth=2, norm="batch"))
    # Weight of the box beside the classes in the loss.
    box_weight: float = 1.0
    # As in `classify`.
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        check_smoothing(self.label_smoothing)


class Recogniser(nn.Module):
    """A backbone's last map, pooled, for the classes; and, where a box is wanted, a vote of every position for it.

    The vote: a softmax over positions says where the object's centre is; the box is the mean, by these weights, of the
    boxes that all positions name. Source: Sermanet et al. 2014, "OverFeat", section 4 (classes and box from one
    network); Levine et al. 2016, "End-to-End Training of Deep Visuomotor Policies", section 5.1 (the mean position).
    """

    middles: Tensor

    def __init__(self, backbone: Convolutional, classes: int, pooling: str, box: bool) -> None:
        super().__init__()
        self.backbone, self.pooling = backbone, pooling
        last = backbone.feature_maps[-1]
        self.classes = nn.Linear(last.channels, classes)
        self.votes = nn.Conv2d(last.channels, 5, 3, padding=1) if box else None
        y, x = torch.meshgrid(torch.arange(last.height), torch.arange(last.width), indexing="ij")
        self.register_buffer("middles", (torch.stack((x, y)).flatten(1) + 0.5) * last.stride)  # (2, P) [px]

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """images: (B, C, H, W) uint8 -> logits (B, K), of each class by itself; votes (B, P), box (B, 4) [px].

        Without a box: votes and box of size 0.
        """
        found = self.backbone.maps(images)[-1]
        pooled = found.amax((2, 3)) if self.pooling == "max" else found.mean((2, 3))
        logits = self.classes(pooled).float()
        if self.votes is None:
            return logits, logits[:, :0], logits[:, :0]
        raw = self.votes(found).flatten(2).float()  # (B, 5, P)
        votes = raw[:, 0]
        stride = self.backbone.feature_maps[-1].stride
        each = torch.cat((self.middles + stride * raw[:, 1:3], stride * raw[:, 3:].clamp(max=4).exp()), 1)
        x, y, width, height = (each * votes.softmax(1)[:, None]).sum(2).unbind(1)
        box = torch.stack((x - width / 2, y - height / 2, x + width / 2, y + height / 2), 1)
        return logits, votes, box


class Recognise:
    """The task of `classify` and `localize`."""

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
                raise DataError(f"no training picture of {dataset.path} shows a {config.object}")
        self.goal = "balanced_accuracy" if self.object is None else "quality"
        self.size: tuple[int, int] = (train.images.shape[2], train.images.shape[3])
        backbone = build_for(config, tuple(train.images.shape[1:]))
        backbone.normalise(dataset.mean, dataset.std)
        self.network = Recogniser(backbone, len(self.categories), config.model, self.object is not None).to(device)

    def truth(self, split: Split, index: int) -> tuple[Tensor, Tensor | None]:
        """Whether each category is there, (K,) float, and the object's box (4,) or None."""
        boxes, kinds = split.boxes(index)
        there = torch.zeros(len(self.categories))
        there[kinds] = 1.0
        mine = (kinds == self.object).nonzero() if self.object is not None else kinds[:0]
        return there, boxes[int(mine[0])] if len(mine) else None

    def loss(self, split: Split, indices: Tensor) -> dict[str, Tensor]:
        """Binary cross-entropy of each class [nats], the mean; of pictures with the object also position and box.

        Position: cross-entropy of the votes with the position nearest to the centre; box: smooth L1 of its corners, in
        units of the true width and height. Both are means over these pictures.
        """
        truth = [self.truth(split, index) for index in indices.tolist()]
        logits, votes, found = self.network(split.images[indices].to(self.device))
        there = torch.stack([there for there, _ in truth]).to(self.device)
        smoothed = there * (1 - self.config.label_smoothing) + self.config.label_smoothing / 2
        classes = F.binary_cross_entropy_with_logits(logits, smoothed)
        shown = [row for row, (_, box) in enumerate(truth) if box is not None]
        if not isinstance(self.config, LocalizeConfig):
            return {"loss": classes}
        if not shown:
            return {"loss": classes, "class": classes.detach(), "place": 0 * classes, "box": 0 * classes}
        boxes = torch.stack([box for _, box in truth if box is not None]).to(self.device)
        far = (centres(boxes)[:, :, None] - self.network.middles).square().sum(1)
        place = F.cross_entropy(votes[shown], far.argmin(1))
        sides = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)
        wrong = F.smooth_l1_loss(found[shown] / sides, boxes / sides, beta=0.1)
        loss = classes + self.config.box_weight * (place + wrong)
        return {"loss": loss, "class": classes.detach(), "place": place.detach(), "box": wrong.detach()}

    def predict(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """images: (B, C, H, W) uint8 -> probability of each category (B, K), the object's box (B, 4) [px] or (B, 0)."""
        logits, _, box = self.network(images.to(self.device))
        return logits.sigmoid().cpu(), box.cpu()

    def evaluate(self, split: Split, on_image: Callable[[int], None]) -> dict[str, float]:
        """`presence` of each category; where an object is localised also its F1, mean overlap and average precision.

        `quality`, the mean of F1 and overlap, decides which weights are best.
        """
        scores, boxes = [], []
        for start in range(0, len(split), EVALUATION_BATCH):
            score, box = self.predict(split.images[start : start + EVALUATION_BATCH])
            scores.append(score)
            boxes.append(box)
            on_image(min(start + EVALUATION_BATCH, len(split)))
        truth = [self.truth(split, index) for index in range(len(split))]
        found = presence(torch.cat(scores), torch.stack([there for there, _ in truth]), self.categories)
        if self.object is None:
            return found
        return found | self._placed(torch.cat(scores)[:, self.object], torch.cat(boxes), [box for _, box in truth])

    def _placed(self, scores: Tensor, boxes: Tensor, truth: Sequence[Tensor | None]) -> dict[str, float]:
        """scores: (N,), boxes: (N, 4); truth: N boxes (4,) or None."""
        shown = [row for row, box in enumerate(truth) if box is not None]
        true = [torch.zeros(0, 4) if box is None else box[None] for box in truth]
        overlaps = [float(iou(boxes[row : row + 1], true[row])) for row in shown]
        labels = [(box, torch.zeros(len(box), dtype=torch.int64)) for box in true]
        guesses = [
            Found(box[None], torch.zeros(1, dtype=torch.int64), score[None])
            for box, score in zip(boxes, scores, strict=True)
        ]
        assert isinstance(self.config, LocalizeConfig)
        name = (self.config.object,)
        found = centre_f1([guess.above(0.5) for guess in guesses], labels, name)
        found |= average_precision(guesses, labels, name, self.size)
        mean = sum(overlaps) / max(len(overlaps), 1)
        return found | {"mean_iou": mean, "quality": (found["f1"] + mean) / 2}


def presence(scores: Tensor, truth: Tensor, categories: Sequence[str]) -> dict[str, float]:
    """How well it is told which categories pictures show.

    `balanced_accuracy/CATEGORY`: of the pictures with it and of those without it the shares told rightly, the mean of
    both (of one, where all pictures show it or none); `balanced_accuracy`: the mean over categories; `accuracy`: over
    all pictures and categories. scores: (N, K) probabilities; truth: (N, K) 0 or 1.
    """
    right = (scores > 0.5) == (truth > 0.5)
    each = {}
    for kind, name in enumerate(categories):
        shares = [right[:, kind][truth[:, kind] == value] for value in (0, 1)]
        known = [float(share.float().mean()) for share in shares if len(share)]
        each[f"balanced_accuracy/{name}"] = sum(known) / len(known)
    mean = sum(each.values()) / len(each)
    return {"balanced_accuracy": mean, "accuracy": float(right.float().mean()), **each}
