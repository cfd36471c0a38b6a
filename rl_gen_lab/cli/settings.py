"""Settings: the range of every number, and what every training command shares (device, Weights & Biases)."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from annotated_types import Interval

from rl_gen_lab.cli.lazy import LazyModule, torch

WandbMode = Literal["auto", "online", "offline", "disabled"]
# What needs torch, and what whoever reads a training does not need to know.
devices: Any = LazyModule("rl_gen_lab.compute.devices")
ranges: Any = LazyModule("rl_gen_lab.cli.ranges")
# Types of numbers, wide enough for what makes sense and narrow enough that nothing runs for ever without a word. What
# needs too much memory only together with other settings is counted and refused later.
Count = Annotated[int, Interval(ge=1, le=1_000_000)]
Few = Annotated[int, Interval(ge=1, le=10_000)]  # such as updates that no line is printed between
Steps = Annotated[int, Interval(ge=1, le=10**12)]
OptionalSteps = Annotated[int, Interval(ge=0, le=10**12)]
Size = Annotated[int, Interval(ge=1, le=65_536)]
Threads = Annotated[int, Interval(ge=1, le=1_024)]
Seed = Annotated[int, Interval(ge=0, lt=2**63)]
Share = Annotated[float, Interval(ge=0, le=1)]
ShareBelowOne = Annotated[float, Interval(ge=0, lt=1)]
PositiveShare = Annotated[float, Interval(gt=0, le=1)]
Positive = Annotated[float, Interval(gt=0, le=10**12)]
NotNegative = Annotated[float, Interval(ge=0, le=10**12)]
Exponent = Annotated[float, Interval(ge=0, le=10)]
Score = Annotated[float, Interval(ge=-(10**12), le=10**12)]


class Ranged:
    """Base of every dataclass of settings: refuses numbers out of the range that is annotated at their type."""

    def __post_init__(self) -> None:
        """Raises: ConfigError, naming the first of them."""
        ranges.check_ranges(self)


@dataclass(frozen=True)
class DeviceConfig(Ranged):
    """Device settings."""

    # auto (CUDA where there is one, else CPU), cpu, cuda, cuda:1 ...
    device: str = "auto"
    # Threads of torch in this process; more than 1 is slower as soon as anything else runs on the machine.
    threads: Threads = 1
    # Arithmetic of forward and backward passes; parameters stay float32. auto: bfloat16 where it is the faster of the
    # two (CPUs with AVX512-BF16 or AMX, GPUs since Ampere).
    precision: Literal["float32", "bfloat16", "auto"] = "float32"
    # Compile the networks with torch.compile: slow to start, faster later.
    compile: bool = False

    @property
    def bfloat16(self) -> bool:
        """Return whether forward and backward passes are computed in bfloat16 here."""
        return self.precision == "bfloat16" or (self.precision == "auto" and devices.multiplies_bfloat16(self.device))

    def autocast(self, device: torch.device) -> AbstractContextManager[Any]:
        """Return a context in which passes on that device have this precision."""
        return torch.autocast(device.type, torch.bfloat16) if self.bfloat16 else nullcontext()


@dataclass(frozen=True)
class WandbConfig(Ranged):
    """Weights & Biases settings."""

    # auto: WANDB_MODE, else what `wandb offline`, `disabled` stored, else online where a key exists, else offline.
    mode: WandbMode = "auto"
    # Project the run belongs to; none: WANDB_PROJECT, else that of `wandb init`, else rl_gen_lab.
    project: str | None = None
    # User or team that owns the project; none: WANDB_ENTITY, else that of `wandb init`, else your account's default.
    entity: str | None = None
    # Runs to be averaged; none: WANDB_RUN_GROUP, else the same algorithm, environment and settings, whatever the seed.
    group: str | None = None
    # Free labels; none: WANDB_TAGS.
    tags: tuple[str, ...] = ()
    # Text beside the run; none: WANDB_NOTES.
    notes: str | None = None
    # Send an alert when this many evaluations in a row (vision models: epochs) were no better than the best; 0: never.
    alert_evaluations: Annotated[int, Interval(ge=0, le=1_000_000)] = 0
