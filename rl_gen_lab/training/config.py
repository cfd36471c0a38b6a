"""Settings of a supervised run; reading them needs no torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, get_args

import tyro
from annotated_types import Interval

from rl_gen_lab.classic.config import ClassicConfig
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.cli.settings import Count, DeviceConfig, Positive, PositiveShare, Ranged, Seed, Size, Steps, WandbConfig
from rl_gen_lab.compute.optimizers import OptimizerConfig
from rl_gen_lab.generators.config import GenerateConfig
from rl_gen_lab.generators.world_models.config import DreamConfig
from rl_gen_lab.vision.captioning.config import CaptionConfig
from rl_gen_lab.vision.detection.config import DetectConfig
from rl_gen_lab.vision.recognition.config import ClassifyConfig, LocalizeConfig
from rl_gen_lab.vision.segmentation.config import SegmentConfig

TaskName = Literal["classic", "classify", "localize", "detect", "segment", "caption", "generate", "dream"]
# Tasks whose network can be parted.
PARTED: dict[str, tuple[TaskName, ...]] = {
    "tensor": ("caption", "dream", "generate"),
    "pipeline": ("caption", "generate"),
}
WITHOUT_LAYERS = ("pca", "gmm", "factorised")  # models of generate that are no networks


@dataclass(frozen=True)
class Config(Ranged):
    """Train a vision model on a folder of annotated images."""

    # Task to learn.
    task: tyro.conf.Positional[TaskName] = "segment"
    # Folder of annotated images, or pictures that a package ships: package:digits, package:faces, package:mnist.
    data: Path | None = None
    # Seed of the first weights and of the order of images.
    seed: Seed = 0
    # Passes over the training images, at most.
    epochs: Count = 12
    # Images in an update.
    batch_size: Size = 8
    # Epochs without a better validation metric after which training stops; 0: never.
    patience_epochs: Annotated[int, Interval(ge=0, le=1_000_000)] = 5
    # Stop after this many minutes of training, validation included.
    total_minutes: Positive | None = None
    # Updates between checkpoints; there is one after every epoch as well.
    checkpoint_every_updates: Steps = 500
    # Updates between lines of losses in the record.
    log_every_updates: Steps = 20
    # Share of the training images that is used, spread evenly over them.
    label_share: PositiveShare = 1.0
    # Begin with the backbone of this run or packed file, such as a generator's encoder; both must have the same.
    init_backbone: Path | None = None
    # Leave that backbone as it is.
    init_frozen: bool = False
    # Folder in which run folders are made.
    runs_dir: Path = Path("runs")
    # Of several processes (torchrun): keep a part of the weights in each, not all weights in all of them.
    fsdp: bool = False
    # Of several processes: each learns from its images of a batch (data), or from its rows of every image (spatial; for
    # segmentation by a U-Net), computes its units of every layer (tensor; caption, dream, generate), or a stage of the
    # network (pipeline; caption, generate).
    parallel: Literal["data", "spatial", "tensor", "pipeline"] = "data"
    # Of a pipeline: into how many equal parts a batch is cut, at most.
    pipeline_parts: Annotated[int, Interval(ge=1, le=1_024)] = 4
    # Of several processes: how long each waits for the others before it gives them up.
    rank_timeout_seconds: Annotated[float, Interval(ge=1, le=86_400)] = 60.0
    # Continue this run folder from its last checkpoint.
    resume: Path | None = None

    caption: CaptionConfig = field(default_factory=CaptionConfig)
    classic: ClassicConfig = field(default_factory=ClassicConfig)
    classify: ClassifyConfig = field(default_factory=ClassifyConfig)
    detect: DetectConfig = field(default_factory=DetectConfig)
    dream: DreamConfig = field(default_factory=DreamConfig)
    generate: GenerateConfig = field(default_factory=GenerateConfig)
    localize: LocalizeConfig = field(default_factory=LocalizeConfig)
    segment: SegmentConfig = field(default_factory=SegmentConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    wandb: WandbConfig = field(default_factory=WandbConfig)
    device: DeviceConfig = field(default_factory=DeviceConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.init_frozen and self.init_backbone is None:
            raise ConfigError("--init-frozen belongs to --init-backbone RUN")
        if self.parallel == "spatial" and (self.task != "segment" or self.segment.model != "unet" or self.fsdp):
            raise ConfigError("--parallel spatial is for segment --segment.model unet, without --fsdp")
        if self.parallel in PARTED:
            self._refuse_unparted()
        for task in sorted(get_args(TaskName)):
            if task != self.task and getattr(self, task) != type(getattr(self, task))():
                raise ConfigError(f"--{task}.* are settings of {task}, but the task is {self.task}")

    def _refuse_unparted(self) -> None:
        """Raise ConfigError for a task or model whose network cannot be parted as asked for."""
        asked = f"--parallel {self.parallel}"
        if self.task not in PARTED[self.parallel]:
            works = [way for way, tasks in PARTED.items() if self.task in tasks]
            instead = "".join(f"--parallel {way} or " for way in works)
            raise ConfigError(
                f"{asked} is for {', '.join(PARTED[self.parallel])}; for {self.task} use {instead}--parallel data, with"
                " --fsdp where memory is short"
            )
        if self.fsdp:
            raise ConfigError(f"{asked} parts the weights itself: leave out --fsdp")
        if self.task == "generate" and self.generate.model in WITHOUT_LAYERS:
            raise ConfigError(f"{asked}: {self.generate.model} has no layers to part; use --parallel data")
