"""Where the arithmetic runs, with how many threads, and on what machine that was."""

import ctypes
import importlib.metadata
import os
import platform
import resource
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import torch

from rl_gen_lab.cli.errors import ConfigError

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # parameters of mallopt, from malloc.h
DISTRIBUTIONS = ("torch", "numpy", "gymnasium", "ale-py", "wandb", "stable-baselines3", "tyro", "safetensors")


@dataclass(frozen=True)
class DeviceConfig:
    """Where and how to compute."""

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
        """Whether forward and backward passes are computed in bfloat16 here."""
        return self.precision == "bfloat16" or (self.precision == "auto" and multiplies_bfloat16(self.device))

    def autocast(self, device: torch.device) -> torch.autocast:
        """A context on that device in which passes have this precision."""
        return torch.autocast(device.type, torch.bfloat16, enabled=self.bfloat16)


def setup(config: DeviceConfig) -> torch.device:
    """Set the number of threads and give the device. Raises ConfigError when the device is not here."""
    torch.set_num_threads(config.threads)
    keep_freed_memory()
    if config.device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(config.device)
    except RuntimeError as error:
        raise ConfigError(f"unknown device '{config.device}': use auto, cpu, cuda or cuda:<number>") from error
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise ConfigError(f"device '{config.device}' asked for, but torch sees no CUDA GPU: use --device cpu")
        if (device.index or 0) >= torch.cuda.device_count():
            raise ConfigError(
                f"device '{config.device}' asked for, but there are only {torch.cuda.device_count()} GPUs"
            )
    elif device.type == "mps" and not torch.backends.mps.is_available():
        raise ConfigError("device 'mps' asked for, but torch sees none: use --device cpu")
    elif device.type not in ("cpu", "mps"):
        raise ConfigError(f"device '{config.device}' is not supported: use auto, cpu, cuda or cuda:<number>")
    return device


@cache  # it is asked before every pass
def multiplies_bfloat16(device: str) -> bool:
    """Whether the processor of that name ("auto", "cpu", "cuda" ...) has instructions for bfloat16."""
    if device.startswith("cuda") or (device == "auto" and torch.cuda.is_available()):
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device not in ("auto", "cpu"):
        return False
    known = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return any(asked is not None and asked() for asked in known)


def keep_freed_memory() -> None:
    """Let glibc keep freed tensors for the next update instead of handing them back to the system; a no-op elsewhere.

    Without it each update of a convolutional network on a CPU faults in some 3,500 fresh pages: a third of its time.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):  # not glibc
        return
    mallopt(M_MMAP_THRESHOLD, 1 << 30)
    mallopt(M_TRIM_THRESHOLD, (1 << 31) - 1)


def hardware() -> dict[str, str | int | float]:
    """Give cpu (its name), cores (usable here), memory_gb (of the machine), gpu ("" for none), system."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1),
        "memory_gb": round(pages / 1e9, 1),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else "",
        "system": f"{platform.system()} {platform.machine()}",
    }


def versions() -> dict[str, str]:
    """Give the versions of Python and of the installed libraries that numbers depend on; imports none."""
    found = {"python": platform.python_version()}
    for name in DISTRIBUTIONS:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def peak_memory_mb() -> float:
    """Give the largest resident memory of this process so far [MiB]."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10  # bytes on macOS, KiB on Linux


def git_commit() -> str:
    """Give the commit of this checkout, with "-dirty" when tracked files differ; "unknown" outside one."""
    checkout = Path(__file__).resolve().parents[2]
    # An installed copy may lie inside somebody else's repository, whose commit says nothing about this code.
    if not (checkout / ".git").exists():
        return "unknown"
    command = ["git", "-C", str(checkout), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return done.stdout.strip() or "unknown"


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
