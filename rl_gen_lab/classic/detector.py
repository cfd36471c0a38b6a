"""Detection by a sliding window: a linear support vector machine on the gradients of every window of an image.

Source: Dalal and Triggs 2005, "Histograms of Oriented Gradients for Human Detection"; hard negatives: their section 4,
here anew in every update; colors beside gradients: Dollár et al. 2009, "Integral Channel Features". A linear function
of all windows is a convolution of the blocks, which are computed once for the image.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rl_gen_lab.classic.config import ClassicConfig
from rl_gen_lab.classic.features import CHUNK, Gradients, enlarged
from rl_gen_lab.classic.interfaces import Measures
from rl_gen_lab.classic.linear import LENGTH, MARGIN, half_squared_norm
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.data.dataset import Dataset, ObjectSizes, Split

EVALUATION_BATCH = 8
NEAR = 3.0  # pixels from an object's center within which other windows are neither examples nor counterexamples
NEGATIVES, MIN_NEGATIVES = 3, 16  # counterexamples for each object, the hardest; in each image at least
STATISTICS = 128  # training images that the spread of the features is measured on
FLOOR = 0.1  # of their typical spread: what hardly varies is not blown up


def category_sizes(dataset: Dataset) -> ObjectSizes:
    """Return the median and the largest width and height [px] of each category: (K, 2), (2,)."""
    if dataset.sizes is not None:
        return dataset.sizes
    train = dataset.splits["train"]
    boxes, classes = (torch.cat(parts) for parts in zip(*map(train.boxes, range(len(train))), strict=True))
    sides = boxes[:, 2:] - boxes[:, :2]
    medians = [sides[classes == category].median(0).values for category in range(len(dataset.categories))]
    return ObjectSizes(torch.stack(medians), sides.max(0).values)


class WindowNetwork(nn.Module):
    """A window of one size for each category, at every cell of an image whose border is continued outwards.

    sizes: (K, 2) width and height [px] of the objects.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, config: ClassicConfig, size: tuple[int, int], sizes: Tensor) -> None:
        """Raises: ConfigError for windows larger than the image, smaller than a block, or too far apart."""
        super().__init__()
        self.config, self.sizes = config, sizes
        height, width = (side + 2 * config.context for side in size)
        self.gradients = Gradients(config, height, width)
        self.step = config.cell_side / self.gradients.factor  # pixels
        if self.step > 2 * NEAR:
            raise ConfigError(
                f"windows {self.step:g} pixels apart miss the centers of objects; use --classic.cell of at most"
                f" {int(2 * NEAR * self.gradients.factor)}"
            )
        rows, columns, block = *self.gradients.shape[:2], config.block
        channels = block * block * config.orientations + 3 * config.color
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("scale", torch.ones(channels))
        self.weights = nn.ParameterList()
        for w, h in (sizes + 2 * config.context).div(self.step).round().long().tolist():
            down, right = h - block + 1, w - block + 1
            if not (1 <= down <= rows and 1 <= right <= columns):
                raise ConfigError(
                    f"a window of {w} x {h} cells does not hold a block of {block}, or does not fit into the image; use"
                    " another --classic.cell or --classic.context"
                )
            self.weights.append(nn.Parameter(torch.zeros(1, channels, down, right)))
        self.bias = nn.Parameter(torch.zeros(len(sizes)))

    def channels(self, images: Tensor) -> Tensor:
        """images: (B, 3, H, W) uint8 -> (B, C, rows, columns) float32: the numbers of each block, colors in [0, 1]."""
        images = F.pad(images.float(), [self.config.context] * 4, mode="replicate").to(torch.uint8)
        maps = self.gradients.blocks(images).flatten(3).permute(0, 3, 1, 2)
        if not self.config.color:
            return maps
        pixels = enlarged(images, self.gradients.factor).expand(-1, 3, -1, -1) / 255
        side = self.config.cell_side
        colors = F.avg_pool2d(pixels, side * self.config.block, side)
        return torch.cat((maps, colors), 1)

    def forward(self, images: Tensor) -> list[Tensor]:
        """images: (B, 3, H, W) uint8 -> a map of scores (B, rows, columns) for each category."""
        maps = self.channels(images)
        (rows, columns), sides = maps.shape[2:], [tuple(weight.shape[2:]) for weight in self.weights]
        high, wide = max(side[0] for side in sides), max(side[1] for side in sides)
        # All windows in one pass: zeros beside the smaller ones, and below and right of the image for what is cut off.
        weights = torch.cat([F.pad(w, [0, wide - w.shape[3], 0, high - w.shape[2]]) for w in self.weights])
        weights = weights / self.scale[:, None, None]  # which costs less than to standardize the maps
        offsets = self.bias - (weights * self.mean[:, None, None]).sum((1, 2, 3))
        low, thin = min(side[0] for side in sides), min(side[1] for side in sides)
        scores = F.conv2d(F.pad(maps, [0, wide - thin, 0, high - low]), weights, offsets)
        return [scores[:, k, : rows - h + 1, : columns - w + 1] for k, (h, w) in enumerate(sides)]

    def centers(self, category: int, scores: Tensor) -> Tensor:
        """Return the middles of the windows of a map of scores (..., rows, columns): (rows * columns, 2) x, y [px]."""
        cells = torch.tensor(self.weights[category].shape[2:]) + self.config.block - 1
        rows, columns = scores.shape[-2:]
        y = (torch.arange(rows) + cells[0] / 2) * self.step - self.config.context
        x = (torch.arange(columns) + cells[1] / 2) * self.step - self.config.context
        return torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).reshape(-1, 2).to(scores.device)


def window_loss(scores: Tensor, centers: Tensor, objects: Tensor, step: float) -> tuple[Tensor, int]:
    """Sum the hinge losses of the objects' windows and of the hardest other ones; also count the objects' windows.

    An object's windows are those whose middles are nearest to its own, within half a step in both directions; an
    object between two has both. scores: (P,); centers: (P, 2); objects: (M, 2) centers [px].
    """
    distance = (centers[:, None] - objects[None]).abs().amax(2)  # (P, M)
    examples = (distance <= step / 2 + 1e-4).any(1)
    others = (distance > NEAR).all(1)
    count = int(examples.sum())
    hard = (MARGIN + scores[others]).clamp(min=0)
    hard = hard.topk(min(max(NEGATIVES * count, MIN_NEGATIVES), len(hard))).values
    return (MARGIN - scores[examples]).clamp(min=0).sum() + hard.sum(), count


def is_peak(scores: Tensor, step: float) -> Tensor:
    """Return where a map of scores (B, rows, columns) is highest within `NEAR` pixels.

    Boxes of 2 pixels beside each other do not overlap: suppression by overlap would keep both.
    """
    reach = int(NEAR // step)
    return scores == F.max_pool2d(scores[:, None], 2 * reach + 1, 1, reach)[:, 0]


class SlidingWindowTask:
    """Detection by a support vector machine on every window."""

    target_metric = "quality"

    def __init__(self, config: ClassicConfig, dataset: Dataset, device: torch.device, measures: Measures) -> None:
        """Raises: ConfigError for settings that do not fit the images."""
        self.config, self.device, self.categories, self.measures = config, device, dataset.categories, measures
        self.dataset, self.sizes = dataset, category_sizes(dataset)
        self.size: tuple[int, int] = (dataset.shape[1], dataset.shape[2])
        self.network = WindowNetwork(config, self.size, self.sizes.common).to(device)
        self.notes: list[str] = []

    @property
    def run_metadata(self) -> dict[str, Any]:
        """The sizes of objects: a saved run needs them beside its configuration and its weights."""
        return {"sizes": {"common": self.sizes.common.tolist(), "largest": self.sizes.largest.tolist()}}

    def fit(self) -> None:
        """Measure the spread of the features of some training images."""
        train = self.dataset.splits["train"]
        images = train.images[train.evenly_spaced(STATISTICS)]
        with torch.no_grad():
            parts = [self.network.channels(part.to(self.device)).double() for part in images.split(CHUNK // 8)]
            mean = torch.stack([part.mean((0, 2, 3)) for part in parts]).mean(0)
            spread = (
                torch.stack([(part - mean[:, None, None]).square().mean((0, 2, 3)) for part in parts]).mean(0).sqrt()
            )
        self.network.mean = mean.float()
        blocks = max(weight[0, 0].numel() for weight in self.network.weights)
        self.network.scale = spread.clamp(min=max(FLOOR * float(spread.max()), 1e-12)).float()
        self.network.scale *= (blocks * len(spread)) ** 0.5 / LENGTH
        names = zip(self.categories, self.network.weights, strict=True)
        self.notes = [", ".join(f"window of {name}: {w.shape[3]} x {w.shape[2]} blocks" for name, w in names)]

    def loss(self, split: Split, indices: Tensor) -> dict[str, Tensor]:
        """The hinge losses of windows ("data", divided by the objects), and half the squared norm of the weights."""
        maps = self.network(split.images[indices].to(self.device))
        truth = [split.boxes(index) for index in indices.tolist()]
        total, count = torch.zeros((), device=self.device), 0
        for category, scores in enumerate(maps):
            middles = self.network.centers(category, scores)
            for row, (boxes, classes) in enumerate(truth):
                own = boxes[classes == category].to(self.device)
                part, found = window_loss(
                    scores[row].reshape(-1), middles, (own[:, :2] + own[:, 2:]) / 2, self.network.step
                )
                total, count = total + part, count + found
        data = total / max(count, 1)
        penalty = self.config.regularization * sum(half_squared_norm(weight) for weight in self.network.weights)
        return {"loss": data + penalty, "data": data.detach(), "penalty": torch.as_tensor(penalty).detach()}

    def predict(self, images: Tensor) -> list[Any]:
        """Detect objects in images (B, 3, H, W) uint8, best first, down to `least_score`."""
        maps = self.network(images.to(self.device))
        boxes, columns = [], []
        for category, scores in enumerate(maps):
            middles, half = self.network.centers(category, scores), self.sizes.common[category].to(self.device) / 2
            boxes.append(torch.cat((middles - half, middles + half), 1))
            own = torch.zeros(*scores.flatten(1).shape, len(maps), device=self.device)
            own[..., category] = torch.where(is_peak(scores, self.network.step), scores.sigmoid(), 0.0).flatten(1)
            columns.append(own)
        all_boxes, all_scores = torch.cat(boxes), torch.cat(columns, 1)
        return [self.measures.select(self.config, scores, all_boxes, self.size) for scores in all_scores]

    def evaluate(self, split: Split, on_image: Callable[[int], None]) -> dict[str, float]:
        """The metrics of every detector of `rl_gen_lab.vision`."""
        return self.measures.detection(self.predict, self.config, self.categories, split, on_image)
