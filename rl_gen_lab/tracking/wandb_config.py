"""Settings of Weights & Biases that every run has; what is done with them stands in wandb_start.py."""

from dataclasses import dataclass
from typing import Literal

Mode = Literal["auto", "online", "offline", "disabled"]


@dataclass(frozen=True)
class WandbConfig:
    """How a run appears in Weights & Biases."""

    # auto: the environment variable WANDB_MODE if set, else online where a key exists, else offline.
    mode: Mode = "auto"
    # Project the run belongs to.
    project: str = "rl_gen_lab"
    # User or team that owns the project; none: the default of your account.
    entity: str | None = None
    # Runs to be averaged; none: the same algorithm, environment and settings, whatever the seed.
    group: str | None = None
    # Free labels.
    tags: tuple[str, ...] = ()
