"""Heads on a backbone. An agent's network is backbone + head; nothing here knows an algorithm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import torch
from gymnasium import Space, spaces
from torch import Tensor, nn

from agents.rl.distributions import Categorical, Distribution, Gaussian
from agents.rl.running_stats import RunningMeanStd
from rl_gen_lab.backbones import build
from rl_gen_lab.backbones.recurrent import LSTM
from rl_gen_lab.cli.errors import ConfigError

NEVER = -1e9  # the logit of what cannot be chosen; minus infinity would make the entropy NaN
STATISTICS_FRAMES = 500  # observations that the statistics of frames are taken from, at most


class PolicySettings(Protocol):
    """The settings of a policy's network, as agents/training/config.py has them."""

    @property
    def backbone(self) -> str:
        """Name of the backbone."""

    @property
    def normalize_obs(self) -> bool:
        """Return whether observations are standardized."""

    @property
    def squash(self) -> bool:
        """Return whether continuous actions are squashed into their bounds."""

    @property
    def state_dependent_std(self) -> bool:
        """Return whether the standard deviation of continuous actions is a function of the observation."""

    @property
    def log_std_start(self) -> float:
        """Logarithm of that standard deviation at the start."""


class PolicyHead(nn.Module):
    """A head from features to a distribution over actions, and from its actions to the environment's.

    Raises: ConfigError for a space that is none of those of `envs.actions.standard_actions`.
    """

    layout: Tensor | None

    def __init__(self, features: int, space: Space[Any], config: PolicySettings) -> None:
        super().__init__()
        self.space, self.config = space, config
        self.log_std = None
        layout = None
        if (counts := _choices(space)) is not None:
            self.out = nn.Linear(features, sum(counts))
            if not isinstance(space, spaces.Discrete):  # each entry's outputs in a row, filled up with one past the end
                rows = torch.arange(sum(counts)).split(counts)
                layout = nn.utils.rnn.pad_sequence(list(rows), batch_first=True, padding_value=sum(counts))
        elif isinstance(space, spaces.Box) and np.issubdtype(space.dtype, np.floating):
            entries = int(np.prod(space.shape))
            self.out = nn.Linear(features, entries * (2 if config.state_dependent_std else 1))
            if not config.state_dependent_std:
                self.log_std = nn.Parameter(torch.full((entries,), config.log_std_start))
            self.middle, self.half_range = _middle_and_half_range(space)
            if config.squash and not (np.isfinite(space.low) & np.isfinite(space.high)).all():
                raise ConfigError(f"squash needs bounds on every entry of the action; this environment has {space}")
            largest = np.finfo(space.dtype).max  # what float16 cannot hold would become infinite
            self.low, self.high = np.maximum(space.low, -largest), np.minimum(space.high, largest)
        else:
            raise ConfigError(f"actions must be Discrete, MultiDiscrete, MultiBinary or a Box of numbers, not {space}")
        self.register_buffer("layout", layout, persistent=False)
        nn.init.orthogonal_(self.out.weight, 0.01)  # at first all actions are about equally likely
        nn.init.zeros_(self.out.bias)

    def forward(self, features: Tensor) -> Distribution:
        """Return the distribution for features (..., D)."""
        out = in_float32(self.out, features)
        if self.layout is not None:
            return Categorical.from_logits(nn.functional.pad(out, (0, 1), value=NEVER)[..., self.layout], joint=True)
        if isinstance(self.space, spaces.Discrete):
            return Categorical.from_logits(out)
        if self.log_std is None:
            out, offset = out.chunk(2, -1)
            log_std = (self.config.log_std_start + offset).clamp(-5.0, 2.0)
        else:
            log_std = self.log_std.expand_as(out)
        return Gaussian(out, log_std, self.config.squash)

    def to_env(self, action: Tensor) -> np.ndarray:
        """Convert actions of the head, (N,) or (N, A), to the environment's, (N,) int64 or (N, ...) in the space."""
        if not isinstance(self.space, spaces.Box):
            return action.cpu().numpy()
        number = (action.tanh() if self.config.squash else action).cpu().numpy()
        with np.errstate(over="ignore"):  # beyond what the type can hold is beyond the bounds, and clipped
            scaled = self.middle + self.half_range * number.reshape(len(number), *self.space.shape)
        return np.clip(scaled, self.low, self.high).astype(self.space.dtype)


def _choices(space: Space[Any]) -> list[int] | None:
    """Return the number of choices of each entry of an action; None for actions that are no choices."""
    if isinstance(space, spaces.Discrete):
        return [int(space.n)]
    if isinstance(space, spaces.MultiBinary):
        return [2] * int(np.prod(space.shape))
    return space.nvec.ravel().tolist() if isinstance(space, spaces.MultiDiscrete) else None


def _middle_and_half_range(space: spaces.Box) -> tuple[np.ndarray, np.ndarray]:
    """Return center and half-width of the action bounds; with one bound: that bound and 1; with none: 0 and 1."""
    low, high = (bound.astype(np.result_type(bound, np.float32)) for bound in (space.low, space.high))
    below, above = np.isfinite(low), np.isfinite(high)
    low, high = np.where(below, low, 0.0), np.where(above, high, 0.0)  # 0 for the bound that is missing
    share = np.where(below & above, 0.5, 1.0).astype(low.dtype)
    return share * high + share * low, np.where(below & above, 0.5 * high - 0.5 * low, 1.0)


@dataclass(frozen=True)
class Prediction:
    """Output of an `ActorCritic`.

    policy: over actions of (T, N); value: (T, N) float32 or None without a critic; state: (2, N, units) or None.
    """

    policy: Distribution
    value: Tensor | None
    state: Tensor | None


class ActorCritic(nn.Module):
    """A policy with a critic on the same backbone (perhaps with an LSTM behind it), on one of its own, or without one.

    Orthogonal weights (Saxe et al. 2014) with gain sqrt(2) in the backbone, 1 in the critic, 0.01 in the policy.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        action_space: Space[Any],
        config: PolicySettings,
        critic: Literal["shared", "separate", "none"],
        lstm_units: int = 0,
    ) -> None:
        super().__init__()
        if lstm_units and critic != "shared":
            raise ConfigError("lstm_units needs one backbone for policy and value: shared_backbone")
        self.moments = RunningMeanStd(shape) if config.normalize_obs and len(shape) == 1 else None
        self.frames_known: Tensor | None
        self.register_buffer("frames_known", torch.tensor(False) if config.normalize_obs and len(shape) == 3 else None)
        self.backbone = _orthogonal(build(config.backbone, shape))
        self.value_backbone = _orthogonal(build(config.backbone, shape)) if critic == "separate" else None
        features = self.backbone.out_features
        assert isinstance(features, int)
        self.core = LSTM(features, lstm_units) if lstm_units else None
        self.head = PolicyHead(lstm_units or features, action_space, config)
        self.value_head = None if critic == "none" else nn.Linear(lstm_units or features, 1)
        if self.value_head is not None:
            nn.init.orthogonal_(self.value_head.weight)
            nn.init.zeros_(self.value_head.bias)

    def start(self, num_envs: int) -> Tensor | None:
        """Return the initial state of the LSTM, (2, N, units), or None without one."""
        return None if self.core is None else self.core.start(num_envs)

    @torch.no_grad()
    def take_statistics(self, obs: Tensor) -> None:
        """Take observations (B, ...) into the statistics that standardize the input, if the settings ask for it."""
        if self.moments is not None:
            self.moments.update(obs)
        if self.frames_known is not None and not self.frames_known:
            # Stacks at the start of a game are padded with black frames, which resemble no later frame.
            full = obs[(obs[:, 0] > 0).flatten(1).any(1)]
            obs = full if len(full) else obs
            for backbone in (self.backbone, self.value_backbone):
                standardize = getattr(backbone, "standardize", None)  # of convolutional backbones
                if standardize is not None:
                    standardize(obs[:: len(obs) // STATISTICS_FRAMES + 1])
            self.frames_known.fill_(True)

    def act(self, obs: Tensor, first: Tensor, state: Tensor | None) -> tuple[Distribution, Tensor | None]:
        """Return policy and new state of one step. obs: (N, ...); first: (N,) bool; state: before obs."""
        features = self.backbone(self._standardized(obs))
        if self.core is not None:
            features, state = self.core(features[None], first[None], state)
            features = features[0]
        return self.head(features), state

    def value(self, obs: Tensor) -> Tensor:
        """Return values (B,) of observations (B, ...), by a critic on a backbone of its own."""
        assert self.value_backbone is not None and self.value_head is not None
        return in_float32(self.value_head, self.value_backbone(self._standardized(obs))).squeeze(-1)

    def forward(self, obs: Tensor, first: Tensor, state: Tensor | None) -> Prediction:
        """Return policy, value and new state. obs: (T, N, ...); first: (T, N) bool; state: before obs[0]."""
        flat, rows = self._standardized(obs.flatten(0, 1)), (*obs.shape[:2], -1)
        features = self.backbone(flat).view(rows)
        if self.core is not None:
            features, state = self.core(features, first, state)
        policy = self.head(features)
        if self.value_head is None:
            return Prediction(policy, None, state)
        if self.value_backbone is not None:
            features = self.value_backbone(flat).view(rows)
        return Prediction(policy, in_float32(self.value_head, features).squeeze(-1), state)

    def _standardized(self, obs: Tensor) -> Tensor:
        return obs if self.moments is None else self.moments(obs)


def in_float32(head: nn.Linear, features: Tensor) -> Tensor:
    """Apply a head in float32 whatever the precision of autocast: ratios of probabilities need it."""
    if not torch.is_autocast_enabled(features.device.type):
        return head(features.float())
    with torch.autocast(features.device.type, enabled=False):
        return head(features.float())


def _orthogonal(backbone: nn.Module) -> nn.Module:
    for module in backbone.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            nn.init.orthogonal_(module.weight, 2**0.5)
            if module.bias is not None:  # none in front of a normalization
                nn.init.zeros_(module.bias)
    return backbone
