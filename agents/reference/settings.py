"""Settings of the Stable-Baselines3 reference: its own argument names and defaults, a table per algorithm.

Also what of these cannot work, and our names for what SB3 logs. Nothing here imports SB3.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, get_args

import numpy as np
from annotated_types import Interval
from gymnasium import Space, spaces

from agents.training.config import AgentConfig, Copies, LogStd
from rl_gen_lab.backbones import SMALLEST_FRAME
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.cli.settings import (
    Count,
    Few,
    NotNegative,
    OptionalSteps,
    Positive,
    PositiveShare,
    Ranged,
    Share,
    Steps,
)
from rl_gen_lab.runs import provenance

Algo = Literal["dqn", "a2c", "ppo"]
Units = Annotated[int, Interval(ge=1, le=8_192)]
# SB3's names for what it logs -> ours. A loss that is not finite stops the run, the rest only describes it.
LOSSES = {
    "train/loss": "losses/td_loss",
    "train/policy_loss": "losses/policy_loss",
    "train/policy_gradient_loss": "losses/policy_loss",
    "train/value_loss": "losses/value_loss",
}
STATUS = {
    "train/learning_rate": "charts/learning_rate",
    "rollout/exploration_rate": "charts/epsilon",
    "train/entropy_loss": "losses/entropy",
    "train/approx_kl": "losses/approx_kl",
    "train/clip_fraction": "losses/clipfrac",
    "train/clip_range": "charts/clip",
    "train/explained_variance": "losses/explained_variance",
}


@dataclass(frozen=True)
class DQNSettings(Ranged):
    """Arguments of stable_baselines3.DQN."""

    # Learning rate of Adam at the start.
    learning_rate: Positive = 1e-4
    # Learning rate at the end of the run, linear in between (None: constant).
    learning_rate_end: NotNegative | None = None
    # Transitions kept, over all environments.
    buffer_size: Steps = 1_000_000
    # Agent steps of random play before learning begins.
    learning_starts: OptionalSteps = 100
    # Transitions in an update.
    batch_size: Count = 32
    # Share of the online network that the target network takes over at a change.
    tau: Share = 1.0
    # Discount of a reward one agent step later.
    gamma: Share = 0.99
    # Vector steps between two rounds of updates.
    train_freq: Count = 4
    # Updates in a round; -1: as many as agent steps since the last.
    gradient_steps: Annotated[int, Interval(ge=-1, le=10_000)] = 1
    # Rewards summed before bootstrapping.
    n_steps: Count = 1
    # Keep each observation once instead of twice; takes the end of a time limit for a termination.
    optimize_memory_usage: bool = False
    # Agent steps between two changes of the target network.
    target_update_interval: Steps = 10_000
    # Share of the run over which epsilon falls.
    exploration_fraction: Share = 0.1
    # Probability of a random action at the start, ...
    exploration_initial_eps: Share = 1.0
    # ... and after that share of the run.
    exploration_final_eps: Share = 0.05
    # Gradients are scaled down to this norm.
    max_grad_norm: Positive = 10.0


@dataclass(frozen=True)
class A2CSettings(Ranged):
    """Arguments of stable_baselines3.A2C and of its policy."""

    # Learning rate of the optimizer at the start.
    learning_rate: Positive = 7e-4
    # Learning rate at the end of the run, linear in between (None: constant).
    learning_rate_end: NotNegative | None = None
    # Vector steps in a rollout; each rollout is one update.
    n_steps: Count = 5
    # Discount of a reward one agent step later.
    gamma: Share = 0.99
    # Bias against variance of the advantages; 1 is the plain n-step advantage.
    gae_lambda: Share = 1.0
    # Weight of the entropy in the loss.
    ent_coef: NotNegative = 0.0
    # Weight of the value loss in the loss.
    vf_coef: NotNegative = 0.5
    # Gradients are scaled down to this norm.
    max_grad_norm: Positive = 0.5
    # RMSProp instead of Adam.
    use_rms_prop: bool = True
    # RMSProp's epsilon.
    rms_prop_eps: Positive = 1e-5
    # RMSProp as TensorFlow computes it, epsilon inside the root.
    rms_prop_tf_like: bool = False
    # Standardize advantages in each update.
    normalize_advantage: bool = False
    # State-dependent exploration, for continuous actions.
    use_sde: bool = False
    # Vector steps between two draws of its noise; -1: one draw a rollout.
    sde_sample_freq: Annotated[int, Interval(ge=-1, le=1_000_000)] = -1
    # Logarithm of the standard deviation of continuous actions at the start.
    log_std_init: LogStd = 0.0
    # Orthogonal initial weights.
    ortho_init: bool = True


@dataclass(frozen=True)
class PPOSettings(Ranged):
    """Arguments of stable_baselines3.PPO and of its policy."""

    # Learning rate of Adam at the start.
    learning_rate: Positive = 3e-4
    # Learning rate at the end of the run, linear in between (None: constant).
    learning_rate_end: NotNegative | None = None
    # Vector steps in a rollout.
    n_steps: Count = 2048
    # Transitions in an update.
    batch_size: Count = 64
    # Passes over a rollout.
    n_epochs: Few = 10
    # Discount of a reward one agent step later.
    gamma: Share = 0.99
    # Bias against variance of the advantages.
    gae_lambda: Share = 0.95
    # The probability ratio is clipped to 1 +- this, at the start.
    clip_range: PositiveShare = 0.2
    # The same at the end of the run, linear in between (None: constant).
    clip_range_end: Share | None = None
    # Standardize advantages in each update.
    normalize_advantage: bool = True
    # Weight of the entropy in the loss.
    ent_coef: NotNegative = 0.0
    # Weight of the value loss in the loss.
    vf_coef: NotNegative = 0.5
    # Gradients are scaled down to this norm.
    max_grad_norm: Positive = 0.5
    # State-dependent exploration, for continuous actions.
    use_sde: bool = False
    # Vector steps between two draws of its noise; -1: one draw a rollout.
    sde_sample_freq: Annotated[int, Interval(ge=-1, le=1_000_000)] = -1
    # Logarithm of the standard deviation of continuous actions at the start.
    log_std_init: LogStd = 0.0
    # Orthogonal initial weights.
    ortho_init: bool = True


Settings = DQNSettings | A2CSettings | PPOSettings


@dataclass(frozen=True)
class Config(AgentConfig):
    """Settings of a Stable-Baselines3 run; presets in configs/sb3_*.toml hold the zoo's published ones.

    Resuming is not exact: Stable-Baselines3 saves no generator, so networks, optimizer and counters go on in new games,
    DQN with a new replay memory. agents.benchmark starts such a run anew when it was killed.
    """

    # Algorithm of Stable-Baselines3; its settings are in the table of that name.
    algo: Algo = "dqn"
    # Short name ("Pong", "CartPole"), Gymnasium id, or module:Id-v0.
    env: str = "Pong"
    # Agent steps to take, over all environments; schedules that fall over the run fall over these.
    total_env_steps: Steps = 1_000_000
    # Copies of the environment that step together.
    num_envs: Copies = 1
    # Our network from observations to features: auto, nature, impala, small, tiny, mlp (None: SB3's own).
    backbone: str | None = None
    # Hidden layers behind the features (None: SB3's own choice; none behind our backbone).
    net_arch: tuple[Units, ...] | None = None
    # Between the layers of a policy for vectors without our backbone (None: SB3's own choice: relu for DQN, else tanh).
    activation: Literal["tanh", "relu"] | None = None
    # Standardize observations and rewards by running statistics (SB3's VecNormalize); vectors only.
    normalize: bool = False

    dqn: DQNSettings = field(default_factory=DQNSettings)
    a2c: A2CSettings = field(default_factory=A2CSettings)
    ppo: PPOSettings = field(default_factory=PPOSettings)

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        super().__post_init__()
        if self.device.precision != "float32" or self.device.compile:
            raise ConfigError(
                "Stable-Baselines3 computes in float32 and is not compiled: give neither --precision nor --compile"
            )
        if self.dqn.gradient_steps == 0:
            raise ConfigError("dqn.gradient_steps 0 would never train: 1 or more, or -1 for as many as agent steps")
        if self.algo == "dqn" and self.dqn.batch_size > self.dqn.buffer_size:
            raise ConfigError(f"dqn.buffer_size {self.dqn.buffer_size} must hold dqn.batch_size {self.dqn.batch_size}")
        ppo = self.ppo
        if self.algo == "ppo" and ppo.normalize_advantage and min(ppo.batch_size, ppo.n_steps * self.num_envs) < 2:
            raise ConfigError("ppo.normalize_advantage needs at least 2 transitions in a batch and in a rollout")

    @property
    def settings(self) -> Settings:
        """The table of the chosen algorithm's settings."""
        tables: dict[str, Settings] = {"dqn": self.dqn, "a2c": self.a2c, "ppo": self.ppo}
        return tables[self.algo]


def refuse_other_tables(algo: str, argv: Sequence[str]) -> None:
    """Refuse flags of another algorithm; in presets and saved runs they do no harm. Raises: ConfigError."""
    for word in argv:
        table = word.partition(".")[0].removeprefix("--")
        if word.startswith(f"--{table}.") and table in get_args(Algo) and table != algo:
            raise ConfigError(f"{word.partition('=')[0]} is a setting of {table}, but the algorithm is {algo}")


def translate(algo: Algo, logged: Mapping[str, Any]) -> tuple[dict[str, float], dict[str, float]]:
    """Return what SB3 logged last, under our names: (losses, the rest)."""
    values = {name: float(logged[name]) for name in (*LOSSES, *STATUS) if name in logged}
    if algo != "dqn":
        values.pop("train/loss", None)  # PPO's weighted sum of its other losses, no TD loss
    if "train/entropy_loss" in values:
        values["train/entropy_loss"] *= -1.0
    if not math.isfinite(values.get("train/explained_variance", 0.0)):  # all returns were equal
        del values["train/explained_variance"]
    losses = {LOSSES[name]: value for name, value in values.items() if name in LOSSES}
    return losses, {STATUS[name]: value for name, value in values.items() if name in STATUS}


def refuse_impossible(config: Config, observation: Space[Any], action: Space[Any]) -> None:
    """Say before training what cannot work in this environment or on this machine. Raises: ConfigError."""
    if config.algo == "dqn" and not isinstance(action, spaces.Discrete):
        raise ConfigError(
            f"DQN needs a finite set of actions; {config.env} has {action}."
            " Agents for continuous, MultiDiscrete and MultiBinary actions: sb3 --algo ppo, sb3 --algo a2c"
        )
    if not isinstance(action, spaces.Discrete | spaces.Box | spaces.MultiDiscrete | spaces.MultiBinary):
        kinds = "Discrete, MultiDiscrete, MultiBinary or a Box of numbers"
        raise ConfigError(f"actions must be {kinds}, but {config.env} has {action}")
    if isinstance(action, spaces.Box) and not (np.isfinite(action.low) & np.isfinite(action.high)).all():
        raise ConfigError(
            f"Stable-Baselines3 needs bounds on every entry of an action; {config.env} has {action}."
            " Agents for actions without bounds: ppo, actor_critic, reinforce"
        )
    if config.eval.stochastic and getattr(config.settings, "use_sde", False):
        raise ConfigError("eval.stochastic cannot draw the noise of use_sde: leave out one of them")
    assert isinstance(observation, spaces.Box)
    if config.activation is not None and (config.backbone is not None or len(observation.shape) == 3):
        raise ConfigError("activation is for policies of vectors without a backbone: leave it out")
    if config.backbone is None and len(observation.shape) == 3 and min(observation.shape[1:]) < SMALLEST_FRAME:
        raise ConfigError(
            f"Stable-Baselines3's own network reads frames from {SMALLEST_FRAME}x{SMALLEST_FRAME} on;"
            f" {config.env} has {observation.shape}: add --backbone auto"
        )
    if config.normalize and len(observation.shape) == 3:
        raise ConfigError(f"normalize is for vectors; {config.env} has frames {observation.shape}")
    if config.algo == "dqn":
        copies = 1 if config.dqn.optimize_memory_usage else 2
        each = copies * math.prod(observation.shape) * np.dtype(observation.dtype).itemsize
        needed, here = each * config.dqn.buffer_size / 1e9, float(provenance.hardware()["memory_gb"])
        if needed > here:
            fits = int(0.8e9 * here / each)
            instead = f"at most {fits:,} fit" if fits else f"observations of {config.env} are too large to remember"
            raise ConfigError(
                f"dqn.buffer_size {config.dqn.buffer_size:,} needs {needed:.1f} GB of memory, this machine"
                f" has {here:g}: {instead}"
            )
