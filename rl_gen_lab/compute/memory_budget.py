"""How much memory there is, and whether a network fits into it: said before the system kills the program."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import torch
from torch import nn

from rl_gen_lab.cli.errors import ConfigError

ENOUGH = 0.9  # share of the free memory that may be asked for
NORMS = (nn.BatchNorm2d, nn.GroupNorm, nn.LayerNorm)
# Numbers that an optimiser keeps for each weight (sgd, rmsprop: one more with a momentum), beside its gradient.
AVERAGES = {"sgd": 0, "rmsprop": 1, "adagrad": 1, "adam": 2, "adamw": 2}


def free_bytes(device: torch.device) -> int:
    """Memory that is free where tensors of this device live: on the CPU no more than a container or a job is given."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return min([int(psutil.virtual_memory().available), *_left_in_groups()])


def _left_in_groups(system: Path = Path("/")) -> list[int]:
    """What the control groups of this process leave it; pages of files that can be dropped count as free.

    Source: the Linux kernel's documentation of cgroup v2 (memory.max, memory.current) and v1 (memory.limit_in_bytes).
    """
    left = []
    for folder, limit, usage, droppable in _groups(system):
        try:
            allowed, used = int((folder / limit).read_text()), int((folder / usage).read_text())
            stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        except (OSError, ValueError):  # no such group, or no limit: "max"
            continue
        left.append(max(allowed - used + int(stat.get(droppable, 0)), 0))
    return left


def _groups(system: Path) -> Iterator[tuple[Path, str, str, str]]:
    """Folders of the groups from this process's own upwards, and their files."""
    try:
        lines = (system / "proc/self/cgroup").read_text().splitlines()
    except OSError:  # not Linux
        return
    for line in lines:
        _, kinds, path = line.split(":", 2)
        root, *files = system / "sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"
        if "memory" in kinds.split(","):
            root, *files = root / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"
        elif kinds:
            continue
        own = root / path.lstrip("/")
        for folder in (own, *own.parents):
            if folder.is_relative_to(root):
                yield folder, files[0], files[1], files[2]


def refuse_too_large(needed: int, what: str, device: torch.device, instead: str) -> None:
    """Raises ConfigError when `needed` bytes do not fit. what: needs them; instead: what the user can do."""
    free = free_bytes(device)
    if needed > ENOUGH * free:
        raise ConfigError(
            f"{what} {needed / 1e9:,.1f} GB of memory, {device} has {free / 1e9:.1f} GB free: use {instead}"
        )


def refuse_weights(make: Callable[[], nn.Module], what: str, instead: str) -> None:
    """Make a network without memory for its weights, count them, and raise ConfigError when they do not fit."""
    try:
        with torch.device("meta"):
            weights = sum(weight.numel() for weight in make().parameters())
    except RuntimeError as error:  # even one layer has more weights than 64 bits can count
        raise ConfigError(f"{what} is too large for any memory: use {instead}") from error
    refuse_too_large(4 * weights, f"{weights:,} weights of {what} need", torch.device("cpu"), instead)


def learning_bytes(network: nn.Module, optimizer: str, momentum: float) -> int:
    """Memory for gradients and for what the optimiser keeps, beside the weights themselves."""
    kept = AVERAGES[optimizer] + (optimizer in ("sgd", "rmsprop") and momentum > 0)
    return (1 + kept) * sum(w.numel() * w.element_size() for w in network.parameters() if w.requires_grad)


def backward_bytes(network: nn.Module, activations: int, batch_size: int, bytes_each: int) -> int:
    """Least memory for what a backward pass looks at again.

    activations: outputs of the convolutions for one example; where they are normalised, the input of the normalisation
    is kept beside that of the next layer.
    """
    normalised = any(isinstance(module, NORMS) for module in network.modules())
    return (1 + normalised) * activations * batch_size * bytes_each
