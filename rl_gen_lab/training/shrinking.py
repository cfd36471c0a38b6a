"""A trained vision model or generator as a task of a recipe: its own loss, its own metrics on the test images."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rl_gen_lab.cli.errors import CheckpointError, ConfigError
from rl_gen_lab.cli.progress import ProgressDisplay
from rl_gen_lab.cli.saved import from_saved
from rl_gen_lab.compression.measured import Row
from rl_gen_lab.compression.packed_file import read
from rl_gen_lab.compression.recipe import Common
from rl_gen_lab.compute.memory_budget import fitting, refuse_too_large
from rl_gen_lab.compute.seeding import Generators
from rl_gen_lab.data.dataset import Dataset
from rl_gen_lab.runs.checkpoints import load_weights
from rl_gen_lab.runs.folder import RunFolder
from rl_gen_lab.runs.weights import load_network
from rl_gen_lab.training.config import Config
from rl_gen_lab.training.load import built, task_from, task_of, unpack
from rl_gen_lab.training.packed_run import KEPT
from rl_gen_lab.training.task import Task
from rl_gen_lab.training.tasks import TASKS

CPU, FLOAT_BYTES = torch.device("cpu"), 4


def refuse_others(run: RunFolder) -> None:
    """Refuse a run of something that is no vision model and no generator. Raises: CheckpointError."""
    if (name := task_of(run)) in TASKS:
        return
    if run.made_by().startswith("python -m agents."):
        raise CheckpointError(f"{run} is a run of an agent, which python -m agents.compress takes")
    raise CheckpointError(f"{run} is a run of {name or run.made_by()}; can be compressed: {', '.join(TASKS)}")


class OwnTask:
    """The images that a model was trained on, and its own loss."""

    def __init__(self, run: RunFolder, data: Dataset, common: Common, seed: int) -> None:
        """Raises: CheckpointError; ConfigError for a model without weights to learn, or too many examples."""
        refuse_others(run)
        self.run, self.data, self.common, self.seed = run, data, common, seed
        self.metadata = run.read_config("config")
        self.config = from_saved(Config, self.metadata["config"], str(run.config_file))
        examples, numbers = common.batch_size, math.prod(data.shape)
        refuse_too_large(
            (1 + FLOAT_BYTES) * examples * numbers,
            f"batch_size = {examples:,} of the recipe takes at least",
            CPU,
            f"batch_size = {fitting((1 + FLOAT_BYTES) * numbers, CPU):,} or less",
        )
        self.task: Task = built(run.path, lambda: TASKS[self.config.task](self.config, data, CPU))
        if not any(weight.requires_grad for weight in self.task.network.parameters()):
            model = getattr(self.config, self.config.task).model
            raise ConfigError(f"a model of kind {model} learns nothing by updates: python -m rl_gen_lab.pack packs it")
        self._order = torch.zeros(0, dtype=torch.int64)
        self._rng = torch.Generator()

    def build(self, backbone: str | None) -> nn.Module:
        """Return the trained network (None), or a new one of the same task on another backbone. Raises: ConfigError."""
        if backbone is None:
            self.task = TASKS[self.config.task](self.config, self.data, torch.device("cpu"))  # nothing in force on it
            weights, _ = load_weights(self.run.checkpoints / "best.safetensors")
            load_network(self.task.network, weights, str(self.run))
        else:
            settings = getattr(self.config, self.config.task)
            if not hasattr(settings, "backbone"):
                raise ConfigError(f"a {self.config.task} model has no backbone to choose: leave it out of the recipe")
            changed = dataclasses.replace(settings, backbone=backbone)
            self.config = dataclasses.replace(self.config, **{self.config.task: changed})
            torch.manual_seed(self.seed)
            self.task = TASKS[self.config.task](self.config, self.data, torch.device("cpu"))
        return self.task.network

    def header(self, backbone: str | None) -> tuple[dict[str, Any], bool]:
        """Return what the run keeps to build its network, and that the file names its tensors."""
        kept = {key: value for key, value in self.metadata.items() if key in KEPT}
        config = dict(self.metadata["config"])
        if backbone is not None:
            config[self.config.task] = config[self.config.task] | {"backbone": backbone}
        task_alone = {key: config.get(key, {}) for key in ("task", self.config.task)}
        return {"run": kept | {"config": task_alone}}, True

    def begin(self, network: nn.Module, segment: int, progress: float) -> None:
        """Begin a segment: a new order of the images."""
        seed = Generators(self.seed).integer("segment", segment)
        torch.manual_seed(seed)
        self._rng.manual_seed(seed)
        self._order = torch.zeros(0, dtype=torch.int64)

    def loss(self, network: nn.Module, progress: float) -> Tensor:
        """The task's loss of the next batch."""
        network.train()
        if len(self._order) < self.common.batch_size:
            self._order = torch.randperm(len(self.data.splits["train"]), generator=self._rng)
        batch, self._order = self._order[: self.common.batch_size], self._order[self.common.batch_size :]
        return self.task.loss(self.data.splits["train"], batch)["loss"]

    def example(self) -> Tensor:
        """Return training images."""
        images = self.data.splits["train"].images
        return images[torch.randint(len(images), (self.common.batch_size,), generator=self._rng)]

    def score(self, data: bytes) -> Row:
        """Evaluate the model in a packed file on the test images."""
        return self.measure(Path("the packed model"), *unpack(read(data)))

    def measure(self, path: Path, metadata: dict[str, Any], weights: dict[str, Tensor]) -> Row:
        """Evaluate a model on the test images; `score` is the metric that its training maximizes.

        path: named in messages; metadata, weights: as `read_model` returns them.
        """
        task = task_from(path, metadata, weights, self.config.task, data=self.data)
        split = self.data.splits["test"]
        task.network.eval()
        with torch.no_grad(), ProgressDisplay("evaluating", len(split), "images") as display:
            metrics = task.evaluate(split, lambda done: display.update(done, ""))
        found: Row = {"metric": task.target_metric, "score": round(metrics[task.target_metric], 4)}
        return found | {"images": len(split)}

    def as_it_is(self) -> Row:
        """Measure the trained model, with the bytes of its float32 parameters."""
        weights, _ = load_weights(self.run.checkpoints / "best.safetensors")
        # made anew: `self.task` may hold a student by now
        network = task_from(self.run.path, self.metadata, weights, *TASKS).network
        size = 4 * sum(parameter.numel() for parameter in network.parameters())
        row: Row = {"bytes": size, "one_network_bytes": size}
        return row | self.measure(self.run.path, self.metadata, weights)

    def in_words(self, row: Row) -> str:
        """Return the score in a row."""
        return f"{row['metric']} {row['score']:.4f} on {row['images']} test images"
