"""Settings that agents share; every hyper-parameter of an algorithm stands in the algorithm's own Config."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from envs.config import EnvConfig
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.cli.settings import DeviceConfig, WandbConfig


@dataclass(frozen=True)
class EvalConfig:
    """Evaluation settings; evaluations have environments and seeds of their own."""

    # Agent steps between evaluations during training; 0: only at the end.
    every_env_steps: int = 50_000
    # Whole episodes in an evaluation during training.
    episodes: int = 20
    # Whole episodes in the final evaluation of the best agent, on seeds never used before.
    final_episodes: int = 20
    # Probability of a random action while being evaluated.
    epsilon: float = 0.0
    # Draw actions from the policy while being evaluated, as in training, instead of taking the most probable ones.
    stochastic: bool = False

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
    """Run limits and outputs."""

    # Stop after this many minutes of training, evaluations included.
    total_minutes: float | None = None
    # Stop as soon as an evaluation's mean return is at least this.
    stop_at_return: float | None = None
    # Agent steps between checkpoints. The environments of our agents restart there, which is what makes their resuming
    # exact: divided by num_envs it should be several episodes long, or the ends of long episodes are never seen in
    # training. Those of agents.sb3 play on, and a resumed run of it begins new games.
    checkpoint_every_env_steps: int = 50_000
    # Agent steps between lines of losses and speed in the record.
    log_every_env_steps: int = 1_000
    # Where run folders are made.
    runs_dir: Path = Path("runs")
    # Continue this run folder from its last checkpoint.
    resume: Path | None = None
    # Record a video of the final agent.
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


@dataclass(frozen=True)
class PolicyConfig:
    """The network of a policy, and how it draws actions."""

    # Network from observations to features: auto, nature, impala, small (pixels); mlp, mlp_small, mlp_tanh (vectors);
    # and resnet, resnet_bottleneck, resnext, densenet, fractalnet, squeezenet (pixels).
    backbone: str = "auto"
    # Standardize vectors by running statistics, frames by those of the first update; saved with the weights, and frozen
    # in evaluation.
    normalize_obs: bool = False
    # Continuous actions: squash by tanh into the bounds of the space (else: clip to them).
    squash: bool = False
    # Continuous actions: standard deviation as a function of the observation (else: one learned number for each entry).
    state_dependent_std: bool = False
    # Continuous actions: log standard deviation at the start; 0 is half the range between the bounds.
    log_std_start: float = 0.0
    # Vector steps for which action noise is held (1: new noise at each step); more where only a long push in one
    # direction is rewarded.
    noise_hold_steps: int = 1

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        if self.noise_hold_steps < 1:
            raise ConfigError(f"noise_hold_steps must be at least 1, not {self.noise_hold_steps}")
        if not math.isfinite(self.log_std_start):
            raise ConfigError(f"log_std_start must be a number, not {self.log_std_start}")


@dataclass(frozen=True)
class TransferConfig:
    """A pretrained backbone to start from."""

    # Run folder of any agent of ours (its best weights), or a .safetensors file (None: start untrained).
    init_backbone: Path | None = None
    # The part of it that stays frozen: nothing, its convolutions, or all of it. With normalize_obs frames are
    # standardized by those of the new environment all the same.
    init_frozen: Literal["none", "conv", "all"] = "none"
    # The rest of it learns with the agent's learning rate times this.
    init_learning_rate_factor: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        if self.init_learning_rate_factor <= 0:
            raise ConfigError(
                f"init_learning_rate_factor must be more than 0, not {self.init_learning_rate_factor};"
                " to keep the whole backbone as it is, freeze it: --init-frozen all"
            )
        if self.init_backbone is None and (self.init_frozen != "none" or self.init_learning_rate_factor != 1.0):
            raise ConfigError("init_frozen and init_learning_rate_factor belong to --init-backbone RUN_OR_FILE")

    @property
    def backbone_factor(self) -> float | None:
        """The learning rate of a pretrained backbone in units of the agent's; None where there is none."""
        return None if self.init_backbone is None else self.init_learning_rate_factor


@dataclass(frozen=True)
class AgentConfig:
    """The settings that all agents share, ours and the reference's."""

    # Short name ("Pong", "CartPole"), Gymnasium id, or module:Id-v0.
    env: str = "CartPole"
    # One integer that all randomness of the run derives from.
    seed: int = 1
    # Agent steps to take, over all environments.
    total_env_steps: int = 1_000_000
    # Copies of the environment that step together.
    num_envs: int = 8

    world: EnvConfig = field(default_factory=EnvConfig)
    eval: EvalConfig = field(default_factory=EvalConfig)
    run: Annotated[RunConfig, tyro.conf.arg(name="")] = field(default_factory=RunConfig)
    device: Annotated[DeviceConfig, tyro.conf.arg(name="")] = field(default_factory=DeviceConfig)
    wandb: WandbConfig = field(default_factory=WandbConfig)


@dataclass(frozen=True)
class LearnerConfig(AgentConfig):
    """The settings that our own agents share."""

    transfer: Annotated[TransferConfig, tyro.conf.arg(name="")] = field(default_factory=TransferConfig)


@dataclass(frozen=True)
class PolicyGradientConfig(LearnerConfig):
    """The settings that agents with a policy network share."""

    policy: Annotated[PolicyConfig, tyro.conf.arg(name="")] = field(default_factory=PolicyConfig)


@dataclass(frozen=True)
class ActorCriticConfig(PolicyGradientConfig):
    """The settings of network and rewards that agents with a policy and a critic share."""

    # Divide rewards by the running standard deviation of the discounted return.
    normalize_rewards: bool = False
    # Policy and value share the network up to their heads.
    shared_backbone: bool = True
    # Units of an LSTM behind the shared backbone, for environments that one observation does not show whole; 0: none.
    lstm_units: int = 0


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
