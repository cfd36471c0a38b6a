"""The memory that settings, observations and actions of an agent need, counted before anything is allocated."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from agents.rl.packed_store import SHARE as PACKED_SHARE
from agents.training.metadata import RunSpec
from envs import names
from rl_gen_lab.backbones import build
from rl_gen_lab.backbones.vector import MLP
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.compute.memory_budget import USABLE_SHARE, fitting, free_bytes, refuse_too_large

EMULATOR_BYTES, OTHER_BYTES = 1_000_000, 2_000  # of one environment, at least (measured: 1.6 MB for Pong)
FLOAT_BYTES = 4  # in which networks compute
SLOT_BYTES = 32  # of a transition in a replay memory, beside its observation
MOST_WEIGHTS = 500_000_000  # more take minutes to initialize, in which no Ctrl-C is answered
LEARNING_COPIES = 4  # of every weight: itself, its gradient, two moments
SB3_UNITS = 64  # of Stable-Baselines3's own layers for vectors


def check_memory(spec: RunSpec, device: torch.device) -> None:
    """Refuse settings, observations and actions whose least memory is not free. Raises: ConfigError."""
    config: Any = spec.config
    check_network(spec, device)
    for name, bytes_each in memory_by_setting(spec):
        table, _, field = name.rpartition(".")
        number = getattr(getattr(config, table, None) if table else config, field, None)
        where = torch.device("cpu") if field == "num_envs" else device
        if number is not None:
            refuse_too_many(name, number, bytes_each, where)


def memory_by_setting(spec: RunSpec) -> Iterator[tuple[str, int]]:
    """Yield the settings by which memory is multiplied, and the bytes that each unit of them needs at least."""
    config: Any = spec.config
    shape, dtype = observation_of(spec)
    numbers = math.prod(shape)
    stored, computed = numbers * np.dtype(dtype).itemsize, numbers * FLOAT_BYTES
    emulator = EMULATOR_BYTES if names.is_atari(spec.env_id) else OTHER_BYTES
    yield "num_envs", 2 * stored + emulator  # observations before and after a step
    yield "rollout_steps", config.num_envs * stored
    yield "batch_size", 2 * (stored + computed)  # where a transition begins and where it ends
    yield "value_batch_size", stored + computed
    share = PACKED_SHARE if getattr(getattr(config, "replay", None), "packed", False) else 1
    yield "replay.capacity", int(share * stored) // (config.world.frame_stack if len(shape) == 3 else 1) + SLOT_BYTES
    if (algo := getattr(config, "algo", None)) == "dqn":  # of Stable-Baselines3, which has tables of its own
        yield "dqn.batch_size", 2 * (stored + computed)
    elif algo is not None:
        yield f"{algo}.n_steps", config.num_envs * stored


def refuse_too_many(name: str, number: int, bytes_each: int, device: torch.device) -> None:
    """Refuse a setting that needs more memory than is free. Raises: ConfigError, with the number that fits."""
    free = free_bytes(device)
    if number * bytes_each > USABLE_SHARE * free:
        fits = fitting(bytes_each, device)
        instead = f"--{name.replace('_', '-')} {fits} or less" if fits else "an environment of smaller observations"
        refuse_too_large(number * bytes_each, f"{name} {number:,} takes", device, instead)


def observation_of(spec: RunSpec) -> tuple[tuple[int, ...], str]:
    """Return shape and data type of an observation."""
    shape, dtype = str(spec.task.fields["observation"]).rsplit(" ", 1)
    return tuple(map(int, re.findall(r"\d+", shape))), dtype


def choices_of(spec: RunSpec) -> int:
    """Return how many outputs a head for the actions has at least."""
    kind, _, inside = str(spec.task.fields["actions"]).partition("(")
    if kind == "Box":  # its bounds come first, then its shape
        inside = inside.rpartition("(")[2].rpartition(")")[0].rpartition(")")[0]
        return math.prod(map(int, re.findall(r"\d+", inside)))
    return sum(map(int, re.findall(r"\d+", inside)))  # long lists of choices are shown in part


def check_network(spec: RunSpec, device: torch.device) -> None:
    """Refuse observations or actions for which the network is too large to learn. Raises: ConfigError."""
    config: Any = spec.config
    shape, choices = observation_of(spec)[0], choices_of(spec)
    layers = getattr(config, "net_arch", None)  # of Stable-Baselines3, behind the features
    name = config.policy.backbone if hasattr(config, "policy") else config.backbone
    with torch.device("meta"):
        if name is None and len(shape) == 1:
            backbone: Any = MLP(shape, SB3_UNITS if layers is None else min(layers, default=1))
        else:
            backbone = build(name or "auto", shape)
    reading = sum(weight.numel() for weight in backbone.parameters())
    choosing = min(backbone.out_features, *(layers or [backbone.out_features])) * choices
    if choosing > reading:
        what, instead = f"a network for {choices:,} actions", "an environment of fewer actions"
    else:
        what, instead = f"a network for observations of shape {shape}", "smaller observations or another --backbone"
    if reading + choosing > MOST_WEIGHTS:
        raise ConfigError(f"{what} has {reading + choosing:,} weights, at most {MOST_WEIGHTS:,} work: use {instead}")
    copies = LEARNING_COPIES + (spec.algo in ("dqn", "sb3_dqn"))  # its target network
    needed = FLOAT_BYTES * copies * getattr(config, "learners", 1) * (reading + choosing)
    refuse_too_large(needed, f"{what} needs while it learns", device, instead)
