"""The methods of texture by name, what they are compared with, and the figure of all."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch

from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.data.pictures import is_gray, one_color
from rl_gen_lab.explain.synthesis import encoders
from rl_gen_lab.explain.synthesis.efros_leung import grow
from rl_gen_lab.explain.synthesis.encoders import Encoder
from rl_gen_lab.explain.synthesis.gram import synthesize
from rl_gen_lab.explain.synthesis.measures import as_picture, as_tensor, measured
from rl_gen_lab.explain.synthesis.quilting import quilt

HELD_OUT, SHUFFLED = "held-out crops", "shuffled pixels"  # the floor, and noise of the right colors
OnStep = Callable[[int, int], None]


@dataclass(frozen=True)
class Texture:
    """What textures are made of, and how. source: (H, W, 3) uint8; height and width of the result.

    trained: encoder of a trained network, of pictures (1, 3, H, W).
    """

    source: np.ndarray
    height: int
    width: int
    patch: int = 32
    overlap: int = 10
    tolerance: float = 0.1
    window: int = 11
    iterations: int = 80
    long_range: float = 0.0
    seed: int = 0
    trained: Encoder | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        """Raises: ConfigError for a source without any texture, beside which nothing can be measured."""
        if one_color(self.source):
            tall, wide = self.source.shape[:2]
            raise ConfigError(
                f"the upper left {wide} x {tall} pixels of the picture have a single color, which is no texture:"
                " choose a larger --source or another picture"
            )

    def make(self, method: str, on_step: OnStep = lambda done, total: None) -> tuple[np.ndarray, float]:
        """Return a texture (height, width, 3) uint8 and its seconds of the processor. Raises: ConfigError."""
        started = time.process_time()
        size = (self.height, self.width)
        if method == "quilting":
            patches = {"patch": self.patch, "overlap": self.overlap}
            made = quilt(self.source, *size, **patches, tolerance=self.tolerance, seed=self.seed, on_patch=on_step)
        elif method == "pixels":
            found = {"window": self.window, "tolerance": self.tolerance, "seed": self.seed}
            made = grow(self.source, *size, **found, on_pixel=on_step)  # type: ignore[arg-type]
        else:
            made = self._by_gram(method, on_step)
        return made, time.process_time() - started

    def _by_gram(self, method: str, on_step: OnStep) -> np.ndarray:
        pixels = as_tensor(self.source)
        if is_gray(self.source):  # a third of the work
            pixels = pixels[:, :1]
        mean, spread = pixels.mean((2, 3), keepdim=True), pixels.std().clamp(min=1e-3)
        if method == "random-filters":
            encoder = encoders.one_layer(self.seed, pixels.shape[1])
        elif method == "random-network":
            encoder = encoders.deep(self.seed, channels=pixels.shape[1])
        elif method == "patch-means":
            encoder = encoders.patch_means(self.seed, (pixels - mean) / spread)
        elif self.trained is None:
            raise ConfigError("the method trained needs --encoder RUN, the run of a detector, segmenter or classifier")
        else:
            encoder = self.trained
        found = synthesize(
            pixels,
            self.height,
            self.width,
            encoders.standardized(encoder, pixels),
            iterations=self.iterations,
            long_range=self.long_range,
            seed=self.seed,
            on_step=lambda done: on_step(done, self.iterations),
        )
        return as_picture(found)


METHODS = ("quilting", "pixels", "random-filters", "random-network", "patch-means", "trained")


def held_out(picture: np.ndarray, side: int, height: int, width: int) -> list[np.ndarray]:
    """Return crops (height, width, 3) beside each other, of all of a picture but its upper left square."""
    tops, lefts = (
        [*range(0, side - size + 1, size), *range(side, whole - size + 1, size)]
        for size, whole in zip((height, width), picture.shape[:2], strict=True)
    )
    places = [(top, left) for top in tops for left in lefts if top >= side or left >= side]
    return [picture[top : top + height, left : left + width] for top, left in places]


def controls(source: np.ndarray, crops: list[np.ndarray], height: int, width: int, seed: int) -> list[dict[str, float]]:
    """Return the measures of each held-out crop, and last those of the source's own pixels in random places."""
    rng = np.random.default_rng(seed)
    pixels = source.reshape(-1, 3)
    shuffled = pixels[rng.integers(len(pixels), size=height * width)].reshape(height, width, 3)
    return [measured(picture, source) for picture in (*crops, shuffled)]


def mean_of(rows: list[dict[str, float]]) -> dict[str, float]:
    """Return the mean of each measure."""
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def one_thread() -> None:
    """Compute on one core: what is said of seconds is of one."""
    torch.set_num_threads(1)
