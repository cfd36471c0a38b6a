"""Settings of a measurement of gradient quality; reading them needs no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from agents.training.config import PolicyConfig
from envs.config import EnvConfig
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.cli.settings import DeviceConfig


@dataclass(frozen=True)
class MeasurementConfig:
    """Settings of a measurement of gradient quality: policy and episodes."""

    # Short name ("CartPole"), Gymnasium id, or module:Id-v0.
    env: str = "CartPole"
    # Run folder of reinforce, actor_critic or ppo whose last policy is measured; none: a policy is trained here.
    run: Path | None = None
    # Updates of the policy trained here (REINFORCE with the leave-one-out baseline, Adam).
    warm_up_updates: int = 30
    # Adam's learning rate in these.
    learning_rate: float = 3e-3
    # Episodes in a batch, from which an estimate is made.
    episodes: int = 16
    # Batches that each estimator is measured on.
    batches: int = 100
    # Batches that the reference gradient is the mean of.
    truth_batches: int = 400
    # Batches that the value networks, one for each discount, are fitted to.
    value_batches: int = 40
    # Updates of each value network.
    value_updates: int = 1_000
    # Seed of everything.
    seed: int = 1

    policy: Annotated[PolicyConfig, tyro.conf.arg(name="")] = field(
        default_factory=lambda: PolicyConfig(backbone="mlp_tanh")
    )
    world: EnvConfig = field(default_factory=EnvConfig)
    device: Annotated[DeviceConfig, tyro.conf.arg(name="")] = field(default_factory=lambda: DeviceConfig(device="cpu"))

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        for name in ("episodes", "batches", "truth_batches"):
            if getattr(self, name) < 2:
                raise ConfigError(f"{name} must be at least 2, not {getattr(self, name)}")
        for name in ("value_batches", "value_updates"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.warm_up_updates < 0:
            raise ConfigError(f"warm_up_updates must be at least 0, not {self.warm_up_updates}")
        if not 0 < self.learning_rate < math.inf:
            raise ConfigError(f"learning_rate must be more than 0 and finite, not {self.learning_rate}")
        if self.world.episodic_life or self.world.episodic_points:
            raise ConfigError("the variance lab takes whole episodes: no world.episodic_life, no world.episodic_points")
        if self.device.device != "cpu":
            raise ConfigError("the variance lab computes on the CPU only")
