"""What each process does where torchrun starts several: its share of environments, steps and minibatches."""

from __future__ import annotations

import math
from dataclasses import fields, is_dataclass, replace
from typing import TypeVar

from agents.training.config import AgentConfig
from rl_gen_lab.distributed.ranks import Ranks, share_of

ConfigT = TypeVar("ConfigT", bound=AgentConfig)
EQUALLY = ("num_envs", "batch_size", "minibatch_size", "value_batch_size", "capacity")  # dealt without a rest
OF_THE_RUN = ("eval", "run", "device", "wandb", "world")  # sections that count the steps of all processes


def share_of_process(config: ConfigT, ranks: Ranks) -> ConfigT:
    """Return the settings by which each process acts and learns, so that all together follow `config`.

    Settings say what all processes do together: `num_envs` environments, minibatches of so many transitions, schedules
    over so many steps. Raises: ConfigError for what cannot be dealt equally.
    """
    return config if ranks.size == 1 else _shared(config, ranks, "--")


def _shared(settings: ConfigT, ranks: Ranks, prefix: str) -> ConfigT:
    changes: dict[str, object] = {}
    for field in fields(settings):
        value = getattr(settings, field.name)
        if is_dataclass(value) and field.name not in OF_THE_RUN:
            changes[field.name] = _shared(value, ranks, f"{prefix}{field.name}.")  # type: ignore[type-var]
        elif field.name in EQUALLY and isinstance(value, int):
            changes[field.name] = share_of(value, ranks, prefix + field.name.replace("_", "-"))
        elif field.name.endswith("_env_steps") and isinstance(value, int | float):
            shared = value / ranks.size
            changes[field.name] = math.ceil(shared) if isinstance(value, int) else shared
    return replace(settings, **changes)  # type: ignore[arg-type]
