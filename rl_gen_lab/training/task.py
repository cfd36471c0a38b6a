"""The interfaces between the supervised loop and what it trains: a task, and the settings that the loop reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from rl_gen_lab.cli.errors import SaveError
from rl_gen_lab.cli.settings import DeviceConfig, WandbConfig
from rl_gen_lab.compute.optimizers import OptimizerConfig
from rl_gen_lab.runs.files import save_errors, without_links


class Part(Protocol):
    """A part of the training data: labeled images, or windows of play."""

    @property
    def name(self) -> str:
        """Train, val or test."""

    @property
    def images(self) -> Tensor:
        """What models are given, along the first dimension."""

    def __len__(self) -> int: ...

    def evenly_spaced(self, count: int) -> list[int]:
        """Return the indices of `count` items, evenly spaced over the part."""


class TrainingData(Protocol):
    """What a training reads from a folder, by split."""

    @property
    def splits(self) -> Mapping[str, Part]:
        """The parts by name."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Channels, height and width of the images."""

    @property
    def metadata(self) -> dict[str, Any]:
        """What is kept with a run, beside its configuration."""

    def describe(self) -> list[str]:
        """Return sentences about the data."""

    def digest(self) -> str:
        """Hash what the data are told from by: 12 hex digits."""

    def pixels_digest(self) -> str:
        """Hash all images: 12 hex digits."""


class Task(Protocol):
    """A network with its loss and its metrics.

    A task may have `run_metadata`, values that a saved run needs beside its configuration and its weights, `notes`,
    sentences about its data that are printed before it is trained, and the methods of `Fitted`, `Drawn` and `Watched`.
    A `split` is a `Part` of the kind of data that the task is for.
    """

    @property
    def target_metric(self) -> str:
        """The validation metric to maximize."""

    @property
    def network(self) -> nn.Module:
        """The network, on its device."""

    def loss(self, split: Any, indices: Tensor) -> dict[str, Tensor]:
        """Scalar losses of these images; "loss" is minimized, the others are recorded. indices: (B,) int64."""

    def predict(self, images: Tensor) -> Any:
        """The predictions for images (B, C, H, W) uint8, on the CPU, as a user gets them."""

    def evaluate(self, split: Any, on_image: Callable[[int], None]) -> dict[str, float]:
        """The metrics of a split; `on_image` gets the number of images done."""


@runtime_checkable
class Kept(Protocol):
    """What a task may write once, into the folder of a new run."""

    def keep(self, run_folder: Path) -> None:
        """Write what the trained model needs beside its weights. Raises: SaveError."""


@runtime_checkable
class Fitted(Protocol):
    """What a task may compute from its training images before the loop begins; a saved run keeps it as buffers."""

    def fit(self) -> None:
        """Compute it. Raises: UserError."""


@runtime_checkable
class Drawn(Protocol):
    """A task that draws its own figures."""

    def draw_figures(self, split: Any, indices: list[int], folder: Path) -> list[Path]:
        """Write figures of these images of a split into a folder and return their files."""


@runtime_checkable
class Watched(Protocol):
    """What a task may do after each validation, in evaluation mode and without gradients."""

    def warnings(self, metrics: dict[str, float]) -> list[str]:
        """Sentences about what has gone wrong, by the metrics of the validation."""

    def draw_progress(self, split: Any, folder: Path) -> list[Path]:
        """Write figures of the present state into a folder and return their files."""


def watch(
    task: Task, split: Part, metrics: dict[str, float], run_folder: Path, say: Callable[[str], None]
) -> list[Path]:
    """Say the warnings of a task, and return its figures. A full disk costs the figures, not the run."""
    if not isinstance(task, Watched):
        return []
    for warning in task.warnings(metrics):
        say(warning)
    task.network.eval()
    try:
        with torch.no_grad(), save_errors(run_folder / "pictures"):
            return task.draw_progress(split, without_links(run_folder / "pictures"))
    except SaveError as error:
        say(f"{error}; training goes on without these figures")
        return []


class LoopConfig(Protocol):
    """The settings that the loop reads."""

    @property
    def seed(self) -> int:
        """Seed of the run."""

    @property
    def epochs(self) -> int:
        """Passes over the training images, at most."""

    @property
    def batch_size(self) -> int:
        """Images in an update."""

    @property
    def patience_epochs(self) -> int:
        """Epochs without a better validation metric after which training stops; 0: never."""

    @property
    def total_minutes(self) -> float | None:
        """Time limit of the training."""

    @property
    def checkpoint_every_updates(self) -> int:
        """Updates between checkpoints; there is one after every epoch as well."""

    @property
    def log_every_updates(self) -> int:
        """Updates between lines in the record."""

    @property
    def optimizer(self) -> OptimizerConfig:
        """Settings of the optimizer."""

    @property
    def device(self) -> DeviceConfig:
        """Settings of the device."""

    @property
    def wandb(self) -> WandbConfig:
        """Settings of Weights & Biases."""
