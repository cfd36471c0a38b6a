"""Settings and interfaces that every agent shares; the rest of an agent's Config is the algorithm's own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from envs.factory import EnvConfig
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.cli.settings import DeviceConfig, WandbConfig


@dataclass(frozen=True)
class EvalConfig:
    """How agents are scored: in environments of their own, with seeds of their own."""

    # Agent steps between evaluations during training; 0: only at the end.
    every_env_steps: int = 50_000
    # Whole episodes in an evaluation during training.
    episodes: int = 20
    # Whole episodes in the final evaluation of the best agent, on seeds never used before.
    final_episodes: int = 20
    # Probability of a random action while being evaluated.
    epsilon: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        for name in ("episodes", "final_episodes"):
            if getattr(self, name) < 1:
                raise ConfigError(f"eval.{name} must be at least 1, not {getattr(self, name)}")
        if self.every_env_steps < 0:
            raise ConfigError(f"eval.every_env_steps must be 0 or more, not {self.every_env_steps}")
        if not 0.0 <= self.epsilon <= 1.0:
            raise ConfigError(f"eval.epsilon must lie in [0, 1], not {self.epsilon}")


@dataclass(frozen=True)
class RunConfig:
    """When a run ends, and what it leaves behind."""

    # Stop after this many minutes of training, evaluations included.
    total_minutes: float | None = None
    # Stop as soon as an evaluation's mean return is at least this.
    stop_at_return: float | None = None
    # Agent steps between checkpoints. The environments of our agents restart there, which is what makes their resuming
    # exact: divided by num_envs it should be several episodes long, for what lies beyond is never seen in training.
    # Those of agents.sb3 play on, and a resumed run of it begins new games.
    checkpoint_every_env_steps: int = 50_000
    # Agent steps between lines of losses and speed in the record.
    log_every_env_steps: int = 1_000
    # Where run folders are made.
    runs_dir: Path = Path("runs")
    # Continue this run folder from its last checkpoint.
    resume: Path | None = None
    # Film the final agent.
    film: bool = True

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        for name in ("checkpoint_every_env_steps", "log_every_env_steps"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.total_minutes is not None and not self.total_minutes > 0:  # NaN is not
            raise ConfigError(f"total_minutes must be more than 0, not {self.total_minutes}")
        if self.stop_at_return is not None and math.isnan(self.stop_at_return):
            raise ConfigError("stop_at_return must be a number")


def check_numbers(
    config: object, *, positive: Sequence[str], not_negative: Sequence[str], shares: Sequence[str]
) -> None:
    """Refuse settings that are out of range: above 0, at least 0 (or None), in [0, 1]; NaN and infinity always.

    Raises: ConfigError, naming the first of them.
    """
    for name in positive:
        if not 0 < getattr(config, name) < math.inf:  # NaN is neither
            raise ConfigError(f"{name} must be more than 0 and finite, not {getattr(config, name)}")
    for name in not_negative:
        value = getattr(config, name)
        if value is not None and not 0 <= value < math.inf:
            raise ConfigError(f"{name} must be at least 0 and finite, not {value}")
    for name in shares:
        if not 0.0 <= getattr(config, name) <= 1.0:
            raise ConfigError(f"{name} must lie in [0, 1], not {getattr(config, name)}")


class AgentConfig(Protocol):
    """The fields that every agent's Config shares."""

    @property
    def env(self) -> str:
        """Short name or id of the world."""

    @property
    def seed(self) -> int:
        """Seed of the run."""

    @property
    def total_env_steps(self) -> int:
        """Agent steps to take."""

    @property
    def world(self) -> EnvConfig:
        """What the agent sees."""

    @property
    def run(self) -> RunConfig:
        """When the run ends."""

    @property
    def eval(self) -> EvalConfig:
        """How it is scored."""

    @property
    def wandb(self) -> WandbConfig:
        """Where it is watched."""

    @property
    def device(self) -> DeviceConfig:
        """Where it computes."""


class Stateful(Protocol):
    """Something that a checkpoint holds."""

    def state_dict(self) -> dict[str, Any]:
        """What to save."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what was saved."""
