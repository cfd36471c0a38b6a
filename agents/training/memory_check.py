"""The memory that settings of an agent need, counted before anything is allocated; the replay memory counts its own."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from agents.training.metadata import RunSpec
from envs import names
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.compute.memory_budget import USABLE_SHARE, free_bytes

EMULATOR_BYTES, OTHER_BYTES = 1_000_000, 2_000  # of one environment, at least (measured: 1.6 MB for Pong)
FLOAT_BYTES = 4  # in which networks compute


def check_memory(spec: RunSpec, device: torch.device) -> None:
    """Refuse a number of environments, steps or transitions whose least memory is not free. Raises: ConfigError."""
    config: Any = spec.config
    for name, bytes_each in memory_by_setting(spec):
        table, _, field = name.rpartition(".")
        number = getattr(getattr(config, table) if table else config, field, None)
        where = torch.device("cpu") if field == "num_envs" else device
        if number is not None:
            refuse_too_many(name, number, bytes_each, where)


def memory_by_setting(spec: RunSpec) -> Iterator[tuple[str, int]]:
    """Yield the settings by which memory is multiplied, and the bytes that each unit of them needs at least."""
    config: Any = spec.config
    observation, dtype = str(spec.task.fields["observation"]).rsplit(" ", 1)
    numbers = math.prod(map(int, re.findall(r"\d+", observation)))
    stored, computed = numbers * np.dtype(dtype).itemsize, numbers * FLOAT_BYTES
    emulator = EMULATOR_BYTES if names.is_atari(spec.env_id) else OTHER_BYTES
    yield "num_envs", 2 * stored + emulator  # observations before and after a step
    yield "rollout_steps", config.num_envs * stored
    yield "batch_size", 2 * (stored + computed)  # where a transition begins and where it ends
    yield "value_batch_size", stored + computed
    if (algo := getattr(config, "algo", None)) == "dqn":  # of Stable-Baselines3, which has tables of its own
        yield "dqn.batch_size", 2 * (stored + computed)
    elif algo is not None:
        yield f"{algo}.n_steps", config.num_envs * stored


def refuse_too_many(name: str, number: int, bytes_each: int, device: torch.device) -> None:
    """Refuse a setting that needs more memory than is free. Raises: ConfigError, with the number that fits."""
    free = free_bytes(device)
    if number * bytes_each > USABLE_SHARE * free:
        raise ConfigError(
            f"{name} {number:,} takes {number * bytes_each / 1e9:,.1f} GB of memory, {device} has {free / 1e9:.1f} GB"
            f" free: use --{name.replace('_', '-')} {max(int(0.8 * free / bytes_each), 1)} or less"
        )
