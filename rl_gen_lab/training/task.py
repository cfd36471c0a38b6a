"""The interfaces between the supervised loop and what it trains: a task, and the settings that the loop reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from torch import Tensor, nn

from rl_gen_lab.cli.settings import DeviceConfig, WandbConfig
from rl_gen_lab.compute.optimizers import OptimizerConfig
from rl_gen_lab.data.dataset import Split


class Task(Protocol):
    """A network with its loss and its metrics. target_metric: the validation metric to maximize.

    A task may have `run_metadata`, values that a saved run needs beside its configuration and its weights, and `notes`,
    sentences about its data that are printed before it is trained.
    """

    target_metric: str

    @property
    def network(self) -> nn.Module:
        """The network, on its device."""

    def loss(self, split: Split, indices: Tensor) -> dict[str, Tensor]:
        """Scalar losses of these images; "loss" is minimized, the others are recorded. indices: (B,) int64."""

    def predict(self, images: Tensor) -> Any:
        """The predictions for images (B, C, H, W) uint8, on the CPU, as a user gets them."""

    def evaluate(self, split: Split, on_image: Callable[[int], None]) -> dict[str, float]:
        """The metrics of a split; `on_image` gets the number of images done."""


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
