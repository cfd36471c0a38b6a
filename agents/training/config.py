"""Settings that agents share; every hyper-parameter of an algorithm stands in the algorithm's own Config."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro
from annotated_types import Interval

from envs.config import EnvConfig
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.cli.settings import (
    Count,
    DeviceConfig,
    OptionalSteps,
    Positive,
    Ranged,
    Score,
    Seed,
    Share,
    Steps,
    WandbConfig,
)

Episodes = Annotated[int, Interval(ge=1, le=100_000)]
Copies = Annotated[int, Interval(ge=1, le=4_096)]
LogStd = Annotated[float, Interval(ge=-20, le=20)]
Units = Annotated[int, Interval(ge=0, le=8_192)]


@dataclass(frozen=True)
class EvalConfig(Ranged):
    """Evaluation settings; evaluations have environments and seeds of their own."""

    # Agent steps between evaluations during training; 0: only at the end.
    every_env_steps: OptionalSteps = 50_000
    # Whole episodes in an evaluation during training.
    episodes: Episodes = 20
    # Whole episodes in the final evaluation of the best agent, on seeds never used before.
    final_episodes: Episodes = 20
    # Probability of a random action while being evaluated.
    epsilon: Share = 0.0
    # Draw actions from the policy while being evaluated, as in training, instead of taking the most probable ones.
    stochastic: bool = False
    # Keep the weights of every evaluation, checkpoints/step_N.safetensors, for agents.explain --stages.
    keep_weights: bool = False


@dataclass(frozen=True)
class RunConfig(Ranged):
    """Run limits and outputs."""

    # Stop after this many minutes of training, evaluations included.
    total_minutes: Positive | None = None
    # Stop as soon as an evaluation's mean return is at least this.
    stop_at_return: Score | None = None
    # Agent steps between checkpoints. The environments of our agents restart there, which is what makes their resuming
    # exact: divided by num_envs it should be several episodes long, or the ends of long episodes are never seen in
    # training. Those of agents.sb3 play on, and a resumed run of it begins new games.
    checkpoint_every_env_steps: Steps = 50_000
    # Agent steps between lines of losses and speed in the record.
    log_every_env_steps: Steps = 1_000
    # Of several processes (torchrun): how long each waits for the others before it gives them up.
    rank_timeout_seconds: Annotated[float, Interval(ge=1, le=86_400)] = 60.0
    # Where run folders are made.
    runs_dir: Path = Path("runs")
    # Continue this run folder from its last checkpoint.
    resume: Path | None = None
    # Record a video of the final agent.
    film: bool = True


@dataclass(frozen=True)
class RolloutsConfig(Ranged):
    """Who plays the games that a policy learns from."""

    # local: this process; processes: others on this machine; gloo: the others of a torchrun; ray: actors of Ray.
    backend: Literal["local", "processes", "gloo", "ray"] = "local"
    # Of ray: one started for this run (local), the one that runs on this machine (auto), or HOST:PORT of another.
    address: str = "local"
    # Copies of the policy that share the environments; they are part of the seed: others play other games.
    actors: Annotated[int, Interval(ge=1, le=256)] = 1
    # Rollouts between the weights that play and those that learn. free: actors play on by the newest weights they find.
    lag: Annotated[int, Interval(ge=0, le=64)] | Literal["free"] = 0
    # Rollouts that an actor may be ahead where lag is free.
    queue: Annotated[int, Interval(ge=1, le=64)] = 2
    # Frames travel packed: each once, as what differs from the one before.
    packed: bool = True


@dataclass(frozen=True)
class PolicyConfig(Ranged):
    """The network of a policy, and how it draws actions."""

    # Network from observations to features: auto, nature, impala, small, tiny (pixels); mlp, mlp_small, mlp_tanh
    # (vectors); and resnet, resnet_bottleneck, resnext, densenet, fractalnet, squeezenet (pixels).
    backbone: str = "auto"
    # Standardize vectors by running statistics, frames by those of the first update; saved with the weights, and frozen
    # in evaluation.
    normalize_obs: bool = False
    # Continuous actions: squash by tanh into the bounds of the space (else: clip to them).
    squash: bool = False
    # Continuous actions: standard deviation as a function of the observation (else: one learned number for each entry).
    state_dependent_std: bool = False
    # Continuous actions: log standard deviation at the start; 0 is half the range between the bounds.
    log_std_start: LogStd = 0.0
    # Vector steps that action noise is held (1: new at each step); more where only a long push one way is rewarded.
    noise_hold_steps: Count = 1


@dataclass(frozen=True)
class TransferConfig(Ranged):
    """A pretrained backbone to start from."""

    # Run folder of any agent of ours (its best weights), or a .safetensors file (None: start untrained).
    init_backbone: Path | None = None
    # What of it stays frozen. With normalize_obs frames are standardized by those of the new environment all the same.
    init_frozen: Literal["none", "conv", "all"] = "none"
    # The rest of it learns with the agent's learning rate times this (to keep the whole as it is: --init-frozen all).
    init_learning_rate_factor: Positive = 1.0

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        super().__post_init__()
        if self.init_backbone is None and (self.init_frozen != "none" or self.init_learning_rate_factor != 1.0):
            raise ConfigError("init_frozen and init_learning_rate_factor belong to --init-backbone RUN_OR_FILE")

    @property
    def backbone_factor(self) -> float | None:
        """The learning rate of a pretrained backbone in units of the agent's; None where there is none."""
        return None if self.init_backbone is None else self.init_learning_rate_factor


@dataclass(frozen=True)
class AgentConfig(Ranged):
    """The settings that all agents share, ours and the reference's."""

    # Short name ("Pong", "CartPole"), Gymnasium id, or module:Id-v0.
    env: str = "CartPole"
    # One integer that all randomness of the run derives from.
    seed: Seed = 1
    # Agent steps to take, over all environments.
    total_env_steps: Steps = 1_000_000
    # Copies of the environment that step together.
    num_envs: Copies = 8

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
    lstm_units: Units = 0
    rollouts: RolloutsConfig = field(default_factory=RolloutsConfig)
