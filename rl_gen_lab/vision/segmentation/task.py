"""The task of semantic segmentation: its loss, its predictions and its metrics."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rl_gen_lab.data.dataset import Dataset, Split
from rl_gen_lab.vision.segmentation.config import SegmentConfig
from rl_gen_lab.vision.segmentation.networks import PatchNetwork, make_network

EVALUATION_BATCH = 8
BORDER_PIXELS = 3  # a third of the patches lies this close to an object, to learn its border


class SegmentationTask:
    """The class of each pixel.

    Pixels are weighted by 1 / sqrt of their class's share, so that a ball of 8 pixels counts. Patches are not: most of
    them are on or near objects anyway.
    """

    target_metric = "miou"

    def __init__(self, config: SegmentConfig, dataset: Dataset, device: torch.device) -> None:
        """Raises: DataError where objects have no masks, ConfigError."""
        self.config, self.device, self.categories = config, device, dataset.categories
        self.network: nn.Module = make_network(config, dataset).to(device)
        number = torch.uint8 if len(self.categories) < 256 else torch.int16
        self.targets = {
            name: torch.stack([split.semantic(i).to(number) for i in range(len(split))])
            for name, split in dataset.splits.items()
        }
        counts = torch.bincount(self.targets["train"].flatten(), minlength=1 + len(self.categories)).float()
        weights = (counts / counts.sum()).clamp(min=1e-6).rsqrt()
        self.weights = (weights / weights.mean()).to(device)

    def loss(self, split: Split, indices: Tensor) -> dict[str, Tensor]:
        """Cross-entropy [nats], the (weighted) mean over pixels or patches. indices: (B,) int64."""
        images = split.images[indices].to(self.device)
        targets = self.targets[split.name][indices].to(self.device).long()
        if isinstance(self.network, PatchNetwork):
            patches, targets = self._sample_patches(self.network.side, images, targets)
            logits, weights = self.network.classify_patches(patches), None
        else:
            logits, weights = self.network(images), self.weights
        smoothing = self.config.label_smoothing
        return {"loss": F.cross_entropy(logits.float(), targets, weights, label_smoothing=smoothing)}

    def _sample_patches(self, side: int, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Sample patches (B P, C, side, side) on objects, near them and anywhere, and the classes of their centers."""
        size, width = targets[0].numel(), targets.shape[2]
        third = self.config.patches // 3
        padded = F.pad(images, [side // 2] * 4)
        windows = padded.unfold(2, side, 1).unfold(3, side, 1)  # (B, C, H, W, side, side), a view
        patches, classes = [], []
        for image, target in zip(windows, targets, strict=True):
            border = F.max_pool2d((target > 0).float()[None], 2 * BORDER_PIXELS + 1, 1, BORDER_PIXELS)
            centers = torch.randint(size, (self.config.patches - 2 * third,), device=target.device)
            for region in (border, target > 0):
                candidates = region.flatten().nonzero()[:, 0]
                if len(candidates):
                    chosen = candidates[torch.randint(len(candidates), (third,), device=target.device)]
                    centers = torch.cat((centers, chosen))
            patches.append(image[:, centers // width, centers % width].transpose(0, 1))
            classes.append(target.flatten()[centers])
        return torch.cat(patches), torch.cat(classes)

    def predict(self, images: Tensor) -> Tensor:
        """images: (B, C, H, W) uint8 -> classes (B, H, W) int64; 0 is background."""
        logits: Tensor = self.network(images.to(self.device))
        return logits.argmax(1).cpu()

    def evaluate(self, split: Split, on_image: Callable[[int], None]) -> dict[str, float]:
        """Compute the `segmentation_metrics` of a split; `on_image` gets the number of images done."""
        classes = 1 + len(self.categories)
        confusion = torch.zeros(classes, classes, dtype=torch.int64)
        for start in range(0, len(split), EVALUATION_BATCH):
            part = slice(start, start + EVALUATION_BATCH)
            pairs = classes * self.targets[split.name][part].long() + self.predict(split.images[part])
            confusion += torch.bincount(pairs.flatten(), minlength=classes**2).reshape(classes, classes)
            on_image(min(start + EVALUATION_BATCH, len(split)))
        return segmentation_metrics(confusion, self.categories)


def segmentation_metrics(confusion: Tensor, categories: tuple[str, ...]) -> dict[str, float]:
    """Intersection over union of each category over all pixels of a split, and `miou`, their mean.

    confusion: (K, K) int64, true classes in rows; 0 is background, which `miou` leaves out: it covers nearly
    everything. A category that is neither present nor predicted is left out of the mean.
    """
    hits = confusion.diagonal().double()
    union = confusion.sum(0) + confusion.sum(1) - hits
    scores = {f"iou/{name}": float(hits[i] / union[i]) for i, name in enumerate(categories, 1) if union[i] > 0}
    mean = sum(scores.values()) / len(scores) if scores else 0.0
    return {"miou": mean, "accuracy": float(hits.sum() / confusion.sum())} | scores
