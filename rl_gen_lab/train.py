"""Train a vision model on a folder of labelled images.

    python -m rl_gen_lab.train segment --data datasets/pong_5000_0
    python -m rl_gen_lab.train detect --data datasets/pong_5000_0 --detect.model faster-rcnn
    python -m rl_gen_lab.train classify --data datasets/pong_5000_0
    python -m rl_gen_lab.train localize --data datasets/pong_5000_0 --localize.object ball
    python -m rl_gen_lab.train caption --data datasets/pong_5000_0
    python -m rl_gen_lab.train segment --data datasets/pong_5000_0 --segment.model fcn --segment.upsampling unpool

The folder is one that `envs.scenes` writes, or any in COCO's format (`rl_gen_lab.data.coco`). The run folder holds the
resolved configuration, every metric, the best weights by the val split, and result.json with the test split, which is
measured once, at the end. A run that was stopped goes on with `--resume RUN`, exactly as if it never had been.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, cast

import torch
import tyro
from torch import nn

from rl_gen_lab.backbones.convolutional import Convolutional
from rl_gen_lab.backbones.maps import build_for, is_large
from rl_gen_lab.cli.command import exit_on_error
from rl_gen_lab.cli.errors import CheckpointError, ConfigError
from rl_gen_lab.cli.flags import parse_flags, peek_flag
from rl_gen_lab.cli.settings import DeviceConfig, WandbConfig
from rl_gen_lab.cli.values import from_dict, to_dict, to_flat_dict
from rl_gen_lab.compute import devices, memory_budget
from rl_gen_lab.compute.optimizers import OptimizerConfig
from rl_gen_lab.compute.seeding import Generators
from rl_gen_lab.data import dataset as data
from rl_gen_lab.runs import provenance
from rl_gen_lab.runs.folder import RunFolder
from rl_gen_lab.tracking.tracker import Tracker
from rl_gen_lab.training.loop import Loop, Task, check_identity, read_checkpoint
from rl_gen_lab.vision import visualize
from rl_gen_lab.vision.captioning import attention_map
from rl_gen_lab.vision.captioning.captioner import Caption, CaptionConfig
from rl_gen_lab.vision.detection.common import DetectConfig
from rl_gen_lab.vision.detection.models import make_detector
from rl_gen_lab.vision.recognition import ClassifyConfig, LocalizeConfig, Recognise
from rl_gen_lab.vision.segmentation import Segment, SegmentConfig

WITHOUT_BACKBONE = ("patch", "fcn", "sliding-window", "rcnn")  # models
PICTURES = 4  # of what a trained model makes of validation images


@dataclass(frozen=True)
class Config:
    """Train a vision model on a folder of labelled images."""

    # What to learn.
    task: tyro.conf.Positional[Literal["classify", "localize", "detect", "segment", "caption"]] = "segment"
    # Folder of labelled images.
    data: Path | None = None
    # Seed of the first weights and of the order of images.
    seed: int = 0
    # Passes over the training images, at most.
    epochs: int = 12
    # Images in an update.
    batch_size: int = 8
    # Stop after so many epochs without a better validation metric; 0: never.
    patience_epochs: int = 5
    # Stop after this many minutes of training, validation included.
    total_minutes: float | None = None
    # Updates between checkpoints; there is one after every epoch as well.
    checkpoint_every_updates: int = 500
    # Updates between lines of losses in the record.
    log_every_updates: int = 20
    # Where run folders are made.
    runs_dir: Path = Path("runs")
    # Continue this run folder from its last checkpoint.
    resume: Path | None = None

    caption: CaptionConfig = field(default_factory=CaptionConfig)
    classify: ClassifyConfig = field(default_factory=ClassifyConfig)
    detect: DetectConfig = field(default_factory=DetectConfig)
    localize: LocalizeConfig = field(default_factory=LocalizeConfig)
    segment: SegmentConfig = field(default_factory=SegmentConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    wandb: WandbConfig = field(default_factory=WandbConfig)
    device: DeviceConfig = field(default_factory=DeviceConfig)

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "checkpoint_every_updates", "log_every_updates"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, not {getattr(self, name)}")
        for task in TASKS:
            if task != self.task and getattr(self, task) != type(getattr(self, task))():
                raise ConfigError(f"--{task}.* are settings of {task}, but {self.task} is to be learned")


# Each makes the task from the configuration, the data and the device.
TASKS: dict[str, Callable[[Config, data.Dataset, torch.device], Task]] = {
    "caption": lambda config, dataset, device: Caption(config.caption, dataset, device),
    "classify": lambda config, dataset, device: Recognise(config.classify, dataset, device),
    "detect": lambda config, dataset, device: make_detector(config.detect, dataset, device),
    "localize": lambda config, dataset, device: Recognise(config.localize, dataset, device),
    "segment": lambda config, dataset, device: Segment(config.segment, dataset, device),
}


def read_config(argv: list[str] | None) -> Config:
    """The configuration that a command line asks for. Raises: ConfigError, CheckpointError."""
    argv = sys.argv[1:] if argv is None else argv
    resume = peek_flag(argv, "resume")
    if resume is None:
        return parse_flags(Config, argv, description=__doc__)
    for word in argv:
        flag = word.partition("=")[0].replace("_", "-")
        if flag.startswith("--") and flag not in ("--resume", "--total-minutes"):
            raise ConfigError(f"{flag} cannot be changed in a resumed run; --total-minutes can")
    path = Path(resume)
    saved = from_dict(Config, RunFolder.open(path).read_config()["config"])
    minutes = peek_flag(argv, "total-minutes") or peek_flag(argv, "total_minutes")
    try:
        return replace(saved, resume=path, total_minutes=saved.total_minutes if minutes is None else float(minutes))
    except ValueError as error:
        raise ConfigError(f"--total-minutes takes a number: {error}") from error


def train(config: Config) -> dict[str, Any]:
    """Train as configured and give what result.json holds. Raises: UserError for what a user can mend."""
    if config.data is None:
        raise ConfigError("which images? Name a folder: --data FOLDER (python -m envs.scenes writes one)")
    device = devices.setup(config.device)
    dataset = data.load(config.data)
    identity = {"task": config.task, "data": data.digest(config.data)}
    pixels = data.pixels_digest(dataset)
    saved: dict[str, Any] | None = None
    if config.resume is not None:
        run = RunFolder.open(config.resume)
        saved = read_checkpoint(run)
        check_identity(saved, identity, run)
        if run.read_config().get("pixels", pixels) != pixels:  # older runs did not keep it
            raise CheckpointError(f"{run.path} was trained on other pictures than {config.data} holds now")
    torch.manual_seed(Generators(config.seed).integer("torch"))
    refuse_large_backbones(config, tuple(dataset.splits["train"].images.shape[1:]), device)
    task = TASKS[config.task](config, dataset, device)  # before the run folder: it may refuse the data
    refuse_to_outgrow_memory(config, task.network, device)
    algo, name = f"{config.task}_{to_dict(config)[config.task]['model']}", config.data.resolve().name
    if saved is None:
        run = RunFolder.create(config.runs_dir, algo, name, config.seed)
        run.write_config(describe(config, algo, name, identity, dataset, task) | {"pixels": pixels})
    else:
        run.truncate_metrics(int(saved["updates"]))
    tracker = Tracker.start(
        run,
        config.wandb,
        algo=algo,
        env_id=name,
        seed=config.seed,
        flat_config=to_flat_dict(config),
        fingerprint_hash=identity["data"],
        wall_offset=0.0 if saved is None else float(saved["wall_seconds"]),
    )
    with Loop(f"{algo} {name}", config, task, dataset.splits, device, run, tracker, identity) as loop:
        sizes = ", ".join(f"{len(split):,} {key}" for key, split in dataset.splits.items())
        weights = sum(weight.numel() for weight in task.network.parameters())
        loop.display.say(f"{config.data} ({identity['data']}): {sizes}; {weights:,} weights to learn")
        for key in ("val", "test"):
            if absent := dataset.absent(key):
                loop.display.say(f"no {key} image shows {' or '.join(absent)}: {key} says nothing about it")
        if dataset.crowded:
            loop.display.say(f"left out, for they show crowds (iscrowd): {dataset.crowded:,} images")
        loop.display.say(f"run folder {run.path}")
        tracker.print_how_to_look()
        if saved is not None:
            loop.load(saved)
        result = loop.run()
        if result:
            for file, said in draw(task, dataset.splits["val"], PICTURES, run):
                tracker.image(f"pictures/{file.stem}", file, loop.updates)
                loop.display.say(f"{file}{said}")
        return result


def refuse_large_backbones(config: Config, shape: tuple[int, ...], device: torch.device) -> None:
    """`refuse_to_outgrow_memory` for a backbone that need not be built for it. shape: (C, H, W) of the images."""
    settings = getattr(config, config.task)
    if settings.model not in WITHOUT_BACKBONE and is_large(settings.choices):
        with torch.device("meta"):
            backbone = build_for(settings, shape)
        refuse_to_outgrow_memory(config, backbone, device)


def refuse_to_outgrow_memory(config: Config, network: nn.Module, device: torch.device) -> None:
    """Raises ConfigError when learning needs more memory than is free, by what can be counted beforehand."""
    needed = memory_budget.learning_bytes(network, config.optimizer.name, config.optimizer.momentum)
    weights = sum(weight.numel() for weight in network.parameters())
    what = f"to train {weights:,} weights takes, beside them, at least"
    choices = f"--{config.task}.choices of less width, stages or depth"
    memory_budget.refuse_too_large(needed, what, device, choices)
    backbone = next((module for module in network.modules() if isinstance(module, Convolutional)), None)
    if backbone is not None:
        bytes_each = 2 if config.device.bfloat16 else 4
        needed += memory_budget.backward_bytes(backbone, backbone.counts().activations, config.batch_size, bytes_each)
        what = f"to train {weights:,} weights on {config.batch_size} images at a time takes, beside them, at least"
        memory_budget.refuse_too_large(needed, what, device, f"a smaller --batch-size or {choices}")


def draw(task: Task, split: data.Split, count: int, run: RunFolder) -> list[tuple[Path, str]]:
    """Pictures of what a model makes of `count` images of a split, and what it says of them, if it says anything."""
    chosen, folder = split.spread_out(count), run.path / "pictures"
    if isinstance(task, Caption):
        return [(file, f": {said}") for file, said in attention_map.write(task, split, chosen, folder)]
    return [(file, "") for file in visualize.write(cast(visualize.Finder, task), split, chosen, folder)]


def describe(
    config: Config, algo: str, name: str, identity: dict[str, str], dataset: data.Dataset, task: Task
) -> dict[str, Any]:
    """config.json: the resolved configuration and everything else that is needed to judge or repeat the run."""
    return {
        "config": to_dict(config),
        "env_id": name,
        "exp_name": algo,
        "seed": config.seed,
        "data": identity["data"],
        "categories": list(dataset.categories),
        "images": {split: len(found) for split, found in dataset.splits.items()},
        "image_size": list(dataset.splits["train"].images.shape[2:]),
        **getattr(task, "about", {}),
        "versions": provenance.versions(),
        "hardware": provenance.hardware(),
        "commit": provenance.git_commit(),
        "command": ["python -m rl_gen_lab.train", *sys.argv[1:]],
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


@exit_on_error
def main(argv: list[str] | None = None) -> None:
    """Train a vision model."""
    train(read_config(argv))


if __name__ == "__main__":
    main()
