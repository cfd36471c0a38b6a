"""Settings of a measurement of gradient quality; reading them needs no torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro
from annotated_types import Interval

from agents.training.config import PolicyConfig
from envs.config import EnvConfig
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.cli.settings import Count, DeviceConfig, Few, OptionalSteps, Positive, Ranged, Seed


@dataclass(frozen=True)
class MeasurementConfig(Ranged):
    """Settings of a measurement of gradient quality: policy and episodes."""

    # Short name ("CartPole"), Gymnasium id, or module:Id-v0.
    env: str = "CartPole"
    # Run folder of reinforce, actor_critic or ppo whose last policy is measured; none: a policy is trained here.
    run: Path | None = None
    # Updates of the policy trained here (REINFORCE with the leave-one-out baseline, Adam).
    warm_up_updates: OptionalSteps = 30
    # Adam's learning rate in these.
    learning_rate: Positive = 3e-3
    # Episodes in a batch, from which an estimate is made.
    episodes: Annotated[int, Interval(ge=2, le=4_096)] = 16
    # Batches that each estimator is measured on.
    batches: Annotated[int, Interval(ge=2, le=1_000_000)] = 100
    # Batches that the reference gradient is the mean of.
    truth_batches: Annotated[int, Interval(ge=2, le=1_000_000)] = 400
    # Batches that the value networks, one for each discount, are fitted to.
    value_batches: Few = 40
    # Updates of each value network.
    value_updates: Count = 1_000
    # Seed of everything.
    seed: Seed = 1

    policy: Annotated[PolicyConfig, tyro.conf.arg(name="")] = field(
        default_factory=lambda: PolicyConfig(backbone="mlp_tanh")
    )
    world: EnvConfig = field(default_factory=EnvConfig)
    device: Annotated[DeviceConfig, tyro.conf.arg(name="")] = field(default_factory=lambda: DeviceConfig(device="cpu"))

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        super().__post_init__()
        if self.world.episodic_life or self.world.episodic_points:
            raise ConfigError("the variance lab takes whole episodes: no world.episodic_life, no world.episodic_points")
        if self.device.device != "cpu":
            raise ConfigError("the variance lab computes on the CPU only")
