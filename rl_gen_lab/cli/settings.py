"""Settings that every training command shares: where it computes, and how it appears in Weights & Biases."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.cli.lazy import torch

WandbMode = Literal["auto", "online", "offline", "disabled"]


@dataclass(frozen=True)
class DeviceConfig:
    """Device settings."""

    # auto (CUDA where there is one, else CPU), cpu, cuda, cuda:1 ...
    device: str = "auto"
    # Threads of torch in this process; more than 1 is slower as soon as anything else runs on the machine.
    threads: int = 1
    # Arithmetic of forward and backward passes; parameters stay float32. auto: bfloat16 where it is the faster of the
    # two (CPUs with AVX512-BF16 or AMX, GPUs since Ampere).
    precision: Literal["float32", "bfloat16", "auto"] = "float32"
    # Compile the networks with torch.compile: slow to start, faster later.
    compile: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot work on any machine."""
        if self.threads < 1:
            raise ConfigError(f"device.threads must be 1 or more, not {self.threads}")

    @property
    def bfloat16(self) -> bool:
        """Return whether forward and backward passes are computed in bfloat16 here."""
        return self.precision == "bfloat16" or (self.precision == "auto" and multiplies_bfloat16(self.device))

    def autocast(self, device: torch.device) -> AbstractContextManager[Any]:
        """Return a context in which passes on that device have this precision."""
        return torch.autocast(device.type, torch.bfloat16) if self.bfloat16 else nullcontext()


@dataclass(frozen=True)
class WandbConfig:
    """Weights & Biases settings."""

    # auto: the environment variable WANDB_MODE if set, else online where a key exists, else offline.
    mode: WandbMode = "auto"
    # Project the run belongs to.
    project: str = "rl_gen_lab"
    # User or team that owns the project; none: the default of your account.
    entity: str | None = None
    # Runs to be averaged; none: the same algorithm, environment and settings, whatever the seed.
    group: str | None = None
    # Free labels.
    tags: tuple[str, ...] = ()


@cache  # it is asked before every pass
def multiplies_bfloat16(device: str) -> bool:
    """Return whether the processor of that name ("auto", "cpu", "cuda" ...) has instructions for bfloat16."""
    if device.startswith("cuda") or (device == "auto" and torch.cuda.is_available()):
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device not in ("auto", "cpu"):
        return False
    checks = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return any(check is not None and check() for check in checks)
