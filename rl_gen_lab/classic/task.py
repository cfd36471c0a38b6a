"""The task of `classic`: features of images, and what classifies them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rl_gen_lab.classic import pictures
from rl_gen_lab.classic.config import ClassicConfig
from rl_gen_lab.classic.features import CHUNK, in_chunks, make_features
from rl_gen_lab.classic.interfaces import Measures
from rl_gen_lab.classic.linear import LENGTH, half_squared_norm, loss_of, zero_linear
from rl_gen_lab.classic.neighbors import vote
from rl_gen_lab.compute.memory_budget import refuse_too_large
from rl_gen_lab.data.dataset import Dataset, Split


class ClassicNetwork(nn.Module):
    """Features and a classifier; `fit` computes what depends on the training images and is not learned by gradients.

    mean, scale: of the features, for linear classifiers; one scale for all, so that what hardly varies stays small;
    points, truth: the known images of nearest neighbors;
    one_class: whether every image shows exactly one category.
    """

    mean: Tensor
    scale: Tensor
    points: Tensor
    truth: Tensor
    one_class: Tensor

    def __init__(self, config: ClassicConfig, height: int, width: int, classes: int) -> None:
        super().__init__()
        self.config = config
        self.features = make_features(config, height, width)
        self.register_buffer("one_class", torch.tensor(False))
        self.linear: nn.Linear | None = None
        if config.model == "knn":
            self.register_buffer("points", torch.zeros(0, self.features.dim))
            self.register_buffer("truth", torch.zeros(0, classes, dtype=torch.uint8))
        else:
            self.register_buffer("mean", torch.zeros(self.features.dim))
            self.register_buffer("scale", torch.ones(()))
            self.linear = zero_linear(self.features.dim, classes)

    def fit(self, images: Tensor, truth: Tensor) -> tuple[Tensor, str]:
        """Fit to the training images (N, 3, H, W) uint8, of categories `truth` (N, K) 0 or 1.

        Returns: their features (N, D), and a sentence about them.
        """
        self.one_class = (truth.sum(1) == 1).all()
        sentence = self.features.fit(images)
        points = in_chunks(self.features, images)
        if self.linear is None:
            self.points, self.truth = points, truth.to(torch.uint8)
        else:
            self.mean = points.mean(0)
            self.scale = (points.var(0, correction=0).sum().sqrt() / LENGTH).clamp(min=1e-12)
        return points, sentence

    def scores(self, points: Tensor) -> Tensor:
        """points: (B, D) features -> (B, K)."""
        if self.linear is None:
            return vote(points, self.points, self.truth, self.config.neighbors)
        return self.linear((points - self.mean) / self.scale)

    def forward(self, images: Tensor) -> Tensor:
        """images: (B, 3, H, W) uint8 -> scores (B, K): the higher, the likelier."""
        return self.scores(self.features(images))

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *args: Any) -> None:
        for name in ("points", "truth"):  # as many as there were training images
            if (saved := state_dict.get(prefix + name)) is not None and hasattr(self, name):
                setattr(self, name, torch.zeros_like(saved, device=getattr(self, name).device))
        super()._load_from_state_dict(state_dict, prefix, *args)


class ClassicTask:
    """Classification of images by classic features: their one class, or the categories that they show.

    The features of the training images are computed once.
    """

    def __init__(self, config: ClassicConfig, dataset: Dataset, device: torch.device, measures: Measures) -> None:
        """Raises: ConfigError for settings that do not fit the images."""
        self.config, self.device, self.categories, self.measures = config, device, dataset.categories, measures
        self.dataset = dataset
        height, width = dataset.shape[1:]
        self.network = ClassicNetwork(config, height, width, len(self.categories)).to(device)
        self.notes: list[str] = []
        self._known: tuple[Tensor, Tensor] | None = None  # features and truth of the training images

    @property
    def target_metric(self) -> str:
        """The metric to maximize."""
        return "top1" if self.network.one_class else "balanced_accuracy"

    def truth(self, split: Split) -> Tensor:
        """Return the presence of each category in each image, (N, K) float 0 or 1."""
        present = torch.zeros(len(split), len(self.categories))
        for index in range(len(split)):
            present[index, split.boxes(index)[1]] = 1.0
        return present

    def fit(self) -> None:
        """Compute what depends on the training images and is not learned by gradients. Raises: ConfigError."""
        train = self.dataset.splits["train"]
        needed = 4 * len(train) * self.network.features.dim
        what = f"{self.network.features.dim:,} features of {len(train):,} images take"
        refuse_too_large(needed, what, self.device, "fewer features, or a smaller --label-share")
        truth = self.truth(train).to(self.device)
        with torch.no_grad():
            points, sentence = self.network.fit(train.images.to(self.device), truth)
        self._known = (points, truth)
        self.notes = [f"{self.network.features.dim:,} features of an image", *([sentence] if sentence else [])]

    def loss(self, split: Split, indices: Tensor) -> dict[str, Tensor]:
        """The loss of the scores ("data", see `linear`), and half the squared norm of the weights, as weighted."""
        linear = self.network.linear
        assert linear is not None
        if self._known is None:  # a trained model that learns on
            with torch.no_grad():
                points = in_chunks(self.network.features, split.images.to(self.device))
            self._known = (points, self.truth(split).to(self.device))
        points, truth = (part[indices.to(self.device)] for part in self._known)
        data = loss_of(
            self.config.model,
            self.config.hinge,
            self.network.scores(points),
            truth,
            bool(self.network.one_class),
        )
        penalty = self.config.regularization * half_squared_norm(linear.weight)
        return {"loss": data + penalty, "data": data.detach(), "penalty": penalty.detach()}

    def predict(self, images: Tensor) -> Tensor:
        """images: (B, 3, H, W) uint8 -> scores (B, K): the shares of the votes, else positive for what is there."""
        return self.network(images.to(self.device)).cpu()

    def evaluate(self, split: Split, on_image: Callable[[int], None]) -> dict[str, float]:
        """`top1`, the share of images whose best score is that of their class; else as `classify`."""
        scores = []
        for start in range(0, len(split), CHUNK):
            scores.append(self.predict(split.images[start : start + CHUNK]))
            on_image(min(start + CHUNK, len(split)))
        found = torch.cat(scores)
        probabilities = found if self.config.model == "knn" else found.sigmoid()
        metrics = self.measures.presence(probabilities, self.truth(split), self.categories)
        return {"top1": metrics["top1"]} if self.network.one_class and "top1" in metrics else metrics

    def draw_figures(self, split: Split, indices: list[int], folder: Path) -> list[Path]:
        """Write figures: predictions for these images or more, and what features and classifier look like."""
        indices = split.evenly_spaced(max(len(indices), pictures.SHOWN))
        with torch.no_grad():
            scores = self.predict(split.images[indices])
        return pictures.write(self, split, indices, scores, folder)
