"""Free memory, and whether a network fits into it: checked before the system kills the program."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import torch
from torch import nn

from rl_gen_lab.cli.errors import ConfigError

USABLE_SHARE = 0.9  # of the free memory
NORMS = (nn.BatchNorm2d, nn.GroupNorm, nn.LayerNorm)
# Numbers that an optimizer keeps for each weight (sgd, rmsprop: one more with a momentum), beside its gradient.
OPTIMIZER_STATE = {"sgd": 0, "rmsprop": 1, "adagrad": 1, "adam": 2, "adamw": 2}


def free_bytes(device: torch.device) -> int:
    """Return the free memory of a device; on the CPU at most what the container or job may use."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return min([int(psutil.virtual_memory().available), *_free_in_cgroups()])


def _free_in_cgroups(system: Path = Path("/")) -> list[int]:
    """Return the free memory of the control groups of this process; droppable pages of files count as free.

    Source: the Linux kernel's documentation of cgroup v2 (memory.max, memory.current) and v1 (memory.limit_in_bytes).
    """
    free = []
    for folder, limit, usage, droppable in _cgroups(system):
        try:
            allowed, used = int((folder / limit).read_text()), int((folder / usage).read_text())
            stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        except (OSError, ValueError):  # no such group, or no limit: "max"
            continue
        free.append(max(allowed - used + int(stat.get(droppable, 0)), 0))
    return free


def _cgroups(system: Path) -> Iterator[tuple[Path, str, str, str]]:
    """Yield the folders of the groups from this process's own upwards, and the names of their files."""
    try:
        lines = (system / "proc/self/cgroup").read_text().splitlines()
    except OSError:  # not Linux
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        root, *files = system / "sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"
        if "memory" in controllers.split(","):
            root, *files = root / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"
        elif controllers:
            continue
        own = root / path.lstrip("/")
        for folder in (own, *own.parents):
            if folder.is_relative_to(root):
                yield folder, files[0], files[1], files[2]


def refuse_too_large(needed: int, what: str, device: torch.device, instead: str) -> None:
    """Raise ConfigError when `needed` bytes do not fit. what: begin of the message; instead: advice to the user."""
    free = free_bytes(device)
    if needed > USABLE_SHARE * free:
        raise ConfigError(
            f"{what} {needed / 1e9:,.1f} GB of memory, {device} has {free / 1e9:.1f} GB free: use {instead}"
        )


def fitting(bytes_each: int, device: torch.device) -> int:
    """Return how many things of so many bytes fit into the free memory, with some to spare."""
    return int(0.8 * free_bytes(device) / bytes_each)


def refuse_weights(make: Callable[[], nn.Module], what: str, instead: str) -> None:
    """Make a network on the meta device, count its weights, and raise ConfigError when they do not fit."""
    try:
        with torch.device("meta"):
            weights = sum(weight.numel() for weight in make().parameters())
    except RuntimeError as error:  # a single layer has more weights than 64 bits can count
        raise ConfigError(f"{what} is too large for any memory: use {instead}") from error
    refuse_too_large(4 * weights, f"{weights:,} weights of {what} need", torch.device("cpu"), instead)


def learning_bytes(network: nn.Module, optimizer: str, momentum: float) -> int:
    """Return the memory of gradients and optimizer state, beside the weights themselves."""
    numbers = OPTIMIZER_STATE[optimizer] + (optimizer in ("sgd", "rmsprop") and momentum > 0)
    return (1 + numbers) * sum(w.numel() * w.element_size() for w in network.parameters() if w.requires_grad)


def backward_bytes(network: nn.Module, activations: int, batch_size: int, bytes_per_number: int) -> int:
    """Return a lower bound of the memory that a forward pass keeps for the backward pass.

    activations: outputs of the convolutions for an example; where they are normalized, the input of the normalization
    is kept beside that of the next layer.
    """
    normalized = any(isinstance(module, NORMS) for module in network.modules())
    return (1 + normalized) * activations * batch_size * bytes_per_number
