"""Device, threads and peak memory."""

from __future__ import annotations

import ctypes
import resource
import sys
from functools import cache

from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.cli.lazy import torch
from rl_gen_lab.cli.settings import DeviceConfig

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # parameters of mallopt, from malloc.h


def setup(config: DeviceConfig, number: int = 0) -> torch.device:
    """Set the number of threads and give the device. Raises ConfigError when the device is not here.

    number: of this process on this machine, which takes the GPU of that number where no other is asked for.
    """
    torch.set_num_threads(config.threads)
    keep_freed_memory()
    if config.device == "auto":
        if not torch.cuda.is_available():
            return torch.device("cpu")
        return torch.device("cuda", number % torch.cuda.device_count()) if number else torch.device("cuda")
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
    elif device.index:
        raise ConfigError(f"device '{config.device}' asked for, but there is only one: use --device {device.type}")
    elif device.type == "mps" and not torch.backends.mps.is_available():
        raise ConfigError("device 'mps' asked for, but torch sees none: use --device cpu")
    elif device.type not in ("cpu", "mps"):
        raise ConfigError(f"device '{config.device}' is not supported: use auto, cpu, cuda or cuda:<number>")
    return device


@cache  # it is asked before every pass
def multiplies_bfloat16(device: str) -> bool:
    """Return whether the processor of that name ("auto", "cpu", "cuda" ...) has instructions for bfloat16."""
    if device.startswith("cuda") or (device == "auto" and torch.cuda.is_available()):
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device not in ("auto", "cpu"):
        return False
    checks = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return any(check is not None and check() for check in checks)


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


def peak_memory_mb() -> float:
    """Give the largest resident memory of this process so far [MiB]."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10  # bytes on macOS, KiB on Linux
