"""Features by name: what turns images into the numbers that a classifier sees."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rl_gen_lab.classic.color_histogram import color_histogram
from rl_gen_lab.classic.config import ClassicConfig
from rl_gen_lab.classic.dalal import dalal
from rl_gen_lab.classic.hog import hog
from rl_gen_lab.classic.kmeans import kmeans, nearest, starts
from rl_gen_lab.classic.pca import principal_components
from rl_gen_lab.classic.visual_words import count_words, inverse_frequency, tf_idf
from rl_gen_lab.cli.errors import ConfigError

CHUNK = 64  # images computed at a time
SHORT_SIDE = 32  # pixels that the shorter side of an image has at least, where `enlarge` is 0
WORD_SAMPLES = 40_000  # patches that the visual words are means of, at most


class Features(nn.Module):
    """Features of images; those that depend on the training images are computed by `fit` and saved as buffers.

    dim: numbers of an image.
    """

    dim: int

    def fit(self, images: Tensor) -> str:
        """Compute what depends on the training images (N, 3, H, W) uint8; return a sentence about it, or ""."""
        return ""

    def forward(self, images: Tensor) -> Tensor:
        """images: (B, 3, H, W) uint8 -> (B, dim) float32."""
        raise NotImplementedError


def in_chunks(compute: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """Apply a function to a few images at a time."""
    return torch.cat([compute(part) for part in images.split(CHUNK)])


def enlarging_of(config: ClassicConfig, height: int, width: int) -> int:
    """Return the factor by which images of this size are enlarged."""
    return config.enlarge or math.ceil(SHORT_SIDE / min(height, width))


def enlarged(images: Tensor, factor: int) -> Tensor:
    """images: (B, 3, H, W) uint8 -> (B, C, factor * H, factor * W) float32 in [0, 255]; of gray images C is 1."""
    pixels = images.float()
    if images.shape[1] == 3 and torch.equal(images[:, 0], images[:, 1]) and torch.equal(images[:, 1], images[:, 2]):
        pixels = pixels[:, :1]
    if factor == 1:
        return pixels
    return F.interpolate(pixels, scale_factor=float(factor), mode="bilinear", align_corners=False)


class Pixels(Features):
    """Gray levels in [0, 1], of larger images those of a reduced one."""

    def __init__(self, config: ClassicConfig, height: int, width: int) -> None:
        super().__init__()
        shrink = min(config.side / max(height, width), 1.0)
        self.size = (max(round(height * shrink), 1), max(round(width * shrink), 1))
        self.reduced = shrink < 1
        self.dim = self.size[0] * self.size[1]

    def forward(self, images: Tensor) -> Tensor:
        """As `Features`."""
        gray = images.float().mean(1, keepdim=True) / 255
        return (F.adaptive_avg_pool2d(gray, self.size) if self.reduced else gray).flatten(1)


class Colors(Features):
    """A histogram of colors."""

    def __init__(self, config: ClassicConfig) -> None:
        super().__init__()
        self.bins, self.dim = config.bins, config.bins**3

    def forward(self, images: Tensor) -> Tensor:
        """As `Features`."""
        return color_histogram(images, self.bins)


class Gradients(Features):
    """Histograms of oriented gradients, in either convention."""

    def __init__(self, config: ClassicConfig, height: int, width: int) -> None:
        """Raises: ConfigError for images without a block."""
        super().__init__()
        self.config = config
        self.factor = enlarging_of(config, height, width)
        cell, block = config.cell_side, config.block
        rows, columns = (side * self.factor // cell - block + 1 for side in (height, width))
        if min(rows, columns) < 1:
            need = math.ceil(block * cell / min(height, width))
            raise ConfigError(
                f"images of {width} x {height}, enlarged {self.factor} times, do not hold a block of {block * cell}"
                f" pixels; use --classic.enlarge {need} or a smaller --classic.cell or --classic.block"
            )
        self.shape = (rows, columns, block, block, config.orientations)
        self.dim = math.prod(self.shape)

    def blocks(self, images: Tensor) -> Tensor:
        """images: (B, 3, H, W) uint8 -> (B, rows, columns, block, block, orientations)."""
        config, pixels = self.config, enlarged(images, self.factor)
        if config.features == "hog-opencv":
            return dalal(pixels, config.orientations, config.cell_side, config.block)
        return hog(pixels / 255, config.orientations, config.cell_side, config.block, config.norm)

    def forward(self, images: Tensor) -> Tensor:
        """As `Features`."""
        return self.blocks(images).flatten(1)


class Words(Features):
    """A bag of visual words: the blocks of `hog` by their nearest mean, counted and weighted by tf-idf."""

    means: Tensor
    weights: Tensor

    def __init__(self, config: ClassicConfig, height: int, width: int) -> None:
        super().__init__()
        self.patches = Gradients(config, height, width)
        self.words, self.grid = config.words, config.grid
        if min(self.patches.shape[:2]) < config.grid:
            raise ConfigError(
                f"--classic.grid {config.grid} is finer than the {self.patches.shape[:2]} blocks of an image"
            )
        self.dim = config.words * config.grid**2
        self.register_buffer("means", torch.zeros(config.words, math.prod(self.patches.shape[2:])))
        self.register_buffer("weights", torch.ones(self.dim))

    def fit(self, images: Tensor) -> str:
        """As `Features`. Raises: ConfigError for fewer patches than words."""
        rows, columns = self.patches.shape[:2]
        patches = len(images) * rows * columns
        if patches < self.words:
            raise ConfigError(
                f"{patches} patches make at most as many words, not {self.words}; use fewer --classic.words"
            )
        per_image = max(WORD_SAMPLES // len(images), 1)

        def sample(part: Tensor) -> Tensor:
            points = self.patches.blocks(part).flatten(3).flatten(1, 2)  # (B, P, D)
            if per_image >= points.shape[1]:
                return points.flatten(0, 1)
            return points[:, torch.randperm(points.shape[1])[:per_image]].flatten(0, 1)

        points = in_chunks(sample, images)
        generator = torch.Generator().manual_seed(int(torch.randint(2**31, ())))
        self.means = kmeans(points, starts(points, self.words, generator))[0]
        self.weights = inverse_frequency(in_chunks(self.counts, images))
        return f"{self.words} visual words are means of {len(points):,} patches"

    def counts(self, images: Tensor) -> Tensor:
        """Count the words of images: (B, dim)."""
        blocks = self.patches.blocks(images)
        rows, columns = self.patches.shape[:2]
        index = nearest(blocks.flatten(3).flatten(0, 2), self.means)[0]
        return count_words(index.view(len(images), rows, columns), self.words, self.grid)

    def forward(self, images: Tensor) -> Tensor:
        """As `Features`."""
        return tf_idf(self.counts(images), self.weights)


class Pca(Features):
    """Principal components of the gray levels."""

    mean: Tensor
    axes: Tensor

    def __init__(self, config: ClassicConfig, height: int, width: int) -> None:
        """Raises: ConfigError for more components than pixels."""
        super().__init__()
        self.pixels = Pixels(config, height, width)
        self.dim = config.components
        if self.dim > self.pixels.dim:
            raise ConfigError(
                f"{self.pixels.dim} pixels have at most as many components; use fewer --classic.components"
            )
        self.register_buffer("mean", torch.zeros(self.pixels.dim))
        self.register_buffer("axes", torch.zeros(self.dim, self.pixels.dim))

    def fit(self, images: Tensor) -> str:
        """As `Features`. Raises: ConfigError for too few images."""
        if len(images) <= self.dim:
            raise ConfigError(
                f"{self.dim} components need more than {len(images)} training images; use fewer --classic.components"
            )
        found = principal_components(in_chunks(self.pixels, images), self.dim)
        self.mean, self.axes = found.mean.float(), found.axes.float()
        return f"{self.dim} components have {found.share:.1%} of the variance"

    def forward(self, images: Tensor) -> Tensor:
        """As `Features`."""
        return (self.pixels(images) - self.mean) @ self.axes.T


def make_features(config: ClassicConfig, height: int, width: int) -> Features:
    """Make the configured features of images of this size. Raises: ConfigError."""
    made: dict[str, Callable[..., Any]] = {"pixels": Pixels, "words": Words, "pca": Pca}
    if config.features == "colors":
        return Colors(config)
    return made.get(config.features, Gradients)(config, height, width)
