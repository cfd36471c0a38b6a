"""Counting the objects of an image: an example of a vision model that is added to the lab.

    python -m docs.examples.counting --data datasets/pong_300_0 --epochs 3

The network predicts a density at each position of a backbone's last map; the sum over an area is the expected number of
objects there. Source: Lempitsky & Zisserman 2010, "Learning to count objects in images", section 3; here the counts of
whole images are enough, with the likelihood of a Poisson distribution.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rl_gen_lab.backbones.config import BackboneConfig
from rl_gen_lab.backbones.convolutional import Convolutional
from rl_gen_lab.backbones.maps import build_for
from rl_gen_lab.cli.command import exit_on_error
from rl_gen_lab.cli.flags import parse_flags
from rl_gen_lab.cli.settings import Count, DeviceConfig, OptionalSteps, Positive, Ranged, Seed, Size, Steps, WandbConfig
from rl_gen_lab.cli.values import to_dict, to_flat_dict
from rl_gen_lab.compute import devices
from rl_gen_lab.compute.optimizers import OptimizerConfig
from rl_gen_lab.compute.seeding import Generators
from rl_gen_lab.data import dataset as data
from rl_gen_lab.data.dataset import Dataset, Split
from rl_gen_lab.runs.folder import RunFolder
from rl_gen_lab.tracking.tracker import Tracker
from rl_gen_lab.training.loop import Loop

EVALUATION_BATCH = 8


@dataclass(frozen=True)
class CountConfig(Ranged):
    """Settings of the model."""

    # Network under the model: one of rl_gen_lab/backbones.
    backbone: str = "resnet"
    choices: BackboneConfig = field(default_factory=lambda: BackboneConfig(width=16, stages=2, depth=1, norm="batch"))


@dataclass(frozen=True)
class Config(Ranged):
    """Train a model that counts the objects of an image."""

    # Folder of annotated images.
    data: Path
    # Seed of the first weights and of the order of images.
    seed: Seed = 0
    # Passes over the training images, at most.
    epochs: Count = 12
    # Images in an update.
    batch_size: Size = 8
    # Epochs without a better validation metric after which training stops; 0: never.
    patience_epochs: OptionalSteps = 5
    # Stop after this many minutes of training, validation included.
    total_minutes: Positive | None = None
    # Updates between checkpoints; there is one after every epoch as well.
    checkpoint_every_updates: Steps = 500
    # Updates between lines of losses in the record.
    log_every_updates: Steps = 20
    # Folder in which run folders are made.
    runs_dir: Path = Path("runs")

    count: CountConfig = field(default_factory=CountConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    wandb: WandbConfig = field(default_factory=WandbConfig)
    device: DeviceConfig = field(default_factory=DeviceConfig)


class CountNetwork(nn.Module):
    """Densities of objects on a backbone's last map."""

    def __init__(self, backbone: Convolutional, categories: int) -> None:
        super().__init__()
        self.backbone = backbone
        last = backbone.feature_maps[-1]
        self.density = nn.Conv2d(last.channels, categories, 1)
        with torch.no_grad():  # about one object in an image
            cast(Tensor, self.density.bias).fill_(-math.log(last.height * last.width))

    def forward(self, images: Tensor) -> Tensor:
        """images: (B, C, H, W) uint8 -> expected number of objects of each category, (B, K) float32, above 0."""
        densities: Tensor = self.density(self.backbone.maps(images)[-1])
        return F.softplus(densities.float()).sum((2, 3))


class CountingTask:
    """The number of objects of each category: loss, predictions and metrics, as the loop asks for them."""

    target_metric = "exact"

    def __init__(self, config: CountConfig, dataset: Dataset, device: torch.device) -> None:
        """Raises: ConfigError for a backbone that cannot read the images."""
        self.device, self.categories = device, dataset.categories
        backbone = build_for(config, tuple(dataset.splits["train"].images.shape[1:]))
        backbone.normalize(dataset.mean, dataset.std)
        self.network = CountNetwork(backbone, len(self.categories)).to(device)

    def counts(self, split: Split, index: int) -> Tensor:
        """Return the number of objects of each category in an image, (K,) float32."""
        _, categories = split.boxes(index)
        return torch.bincount(categories, minlength=len(self.categories)).float()

    def loss(self, split: Split, indices: Tensor) -> dict[str, Tensor]:
        """Negative log-likelihood [nats] of the counts, averaged over images and categories. indices: (B,) int64."""
        counts = torch.stack([self.counts(split, index) for index in indices.tolist()]).to(self.device)
        expected = self.network(split.images[indices].to(self.device))
        return {"loss": F.poisson_nll_loss(expected, counts, log_input=False, full=True)}

    def predict(self, images: Tensor) -> Tensor:
        """images: (B, C, H, W) uint8 -> number of objects of each category, (B, K) float32, whole, on the CPU."""
        counts: Tensor = self.network(images.to(self.device)).round().cpu()
        return counts

    def evaluate(self, split: Split, on_image: Callable[[int], None]) -> dict[str, float]:
        """Measure `exact`, the share of right counts, and `absolute_error` [objects], over images and categories."""
        predictions = []
        for start in range(0, len(split), EVALUATION_BATCH):
            predictions.append(self.predict(split.images[start : start + EVALUATION_BATCH]))
            on_image(min(start + EVALUATION_BATCH, len(split)))
        errors = torch.cat(predictions) - torch.stack([self.counts(split, index) for index in range(len(split))])
        return {"exact": float((errors == 0).float().mean()), "absolute_error": float(errors.abs().mean())}


def train(config: Config) -> dict[str, Any]:
    """Train as configured and return the content of result.json. Raises: UserError."""
    device = devices.setup(config.device)
    dataset = data.load(config.data)
    torch.manual_seed(Generators(config.seed).integer("torch"))
    task = CountingTask(config.count, dataset, device)
    name, digest = config.data.resolve().name, data.labels_digest(config.data)
    run = RunFolder.create(config.runs_dir, "count", name, config.seed)
    run.write_config({"config": to_dict(config), "data": digest})
    tracker = Tracker.start(
        run,
        config.wandb,
        algo="count",
        env_id=name,
        seed=config.seed,
        flat_config=to_flat_dict(config),
        fingerprint_hash=digest,
    )
    identity = {"task": "count", "data": digest}
    with Loop(f"count {name}", config, task, dataset.splits, device, run, tracker, identity) as loop:
        return loop.run()


@exit_on_error
def main(argv: list[str] | None = None) -> None:
    """Train a model that counts."""
    train(parse_flags(Config, argv, description=__doc__))


if __name__ == "__main__":
    main()
