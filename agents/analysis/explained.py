"""What can be explained of an agent: a value, a gap between actions, a log-probability; each by a name of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from agents.rl.distributions import Categorical
from agents.rl.interfaces import Policy
from agents.rl.policy_networks import ActorCritic
from rl_gen_lab.backbones.convolutional import ScaledConv2d
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.explain.model import Explained, gap, log_probability

# gap: of the chosen action over the mean of the others, in action values or logits.
TargetName = Literal["gap", "value", "log-probability"]


def network_of(policy: Policy) -> nn.Module:
    """Return the network by which a policy acts; of an ensemble its mean acts, and that is explained.

    Raises: ConfigError for a policy without scores of single actions.
    """
    player = getattr(policy.values or policy.act, "__self__", None)
    player = getattr(player, "player", player)  # of a policy that draws its actions
    network = getattr(player, "network", None)
    if not isinstance(network, nn.Module) or (policy.values is None and policy.sample is None):
        raise ConfigError("this agent has no scores of single actions: agents of discrete actions can be explained")
    return network


def explained(policy: Policy, target: TargetName | None = None) -> tuple[Explained, TargetName]:
    """Return what of an agent is explained, and its name (None: the gap). Frames (B, C, H, W), actions (B,).

    An LSTM is asked with the state of a game's beginning. Raises: ConfigError for an agent that sees no frames, or that
    has not what is asked for.
    """
    network, name = network_of(policy), target or "gap"
    first = next((module for module in network.modules() if isinstance(module, ScaledConv2d)), None)
    if first is None:
        raise ConfigError("this agent sees numbers, not frames: only agents of frames have a picture to explain")
    if isinstance(network, ActorCritic):
        if name == "value" and network.value_head is None:
            raise ConfigError("this agent has no critic: choose --target gap or log-probability")
        score: Callable[..., Tensor] = {"gap": _logit_gap, "value": _critic, "log-probability": _log_prob}[name]
    else:
        if name == "log-probability":
            raise ConfigError("this agent has action values and no probabilities: choose --target gap or value")
        score = {"gap": _value_gap, "value": _best_value}[name]
    return Explained(network, score, first.mean.float().clone()), name


def without_mean(model: Explained) -> bool:
    """Return whether the baseline shows nothing of the game: the first layer subtracts the same from all places."""
    return bool((model.baseline.flatten(1).std(1) == 0).all())


def _value_gap(network: nn.Module, frames: Tensor, actions: Tensor) -> Tensor:
    return gap(network(frames), actions)


def _best_value(network: nn.Module, frames: Tensor, actions: Tensor) -> Tensor:
    """Return the value of the action that is chosen, which is the state's under a greedy policy."""
    return cast(Tensor, network(frames)).gather(1, actions[:, None])[:, 0]


def _logits(network: nn.Module, frames: Tensor) -> Tensor:
    policy, _ = cast(ActorCritic, network).act(frames, *_beginning(network, len(frames)))
    if not isinstance(policy, Categorical) or policy.joint:
        raise ConfigError("this agent does not choose one of several actions: agents that do can be explained")
    return policy.log_probs


def _logit_gap(network: nn.Module, frames: Tensor, actions: Tensor) -> Tensor:
    """Gaps of log-probabilities are those of logits: the normalization is the same for all actions."""
    return gap(_logits(network, frames), actions)


def _log_prob(network: nn.Module, frames: Tensor, actions: Tensor) -> Tensor:
    return log_probability(_logits(network, frames), actions)


def _critic(network: nn.Module, frames: Tensor, actions: Tensor) -> Tensor:
    first, state = _beginning(network, len(frames))
    found = cast(ActorCritic, network)(frames[None], first[None], state).value
    assert found is not None
    return cast(Tensor, found[0])


def _beginning(network: nn.Module, count: int) -> tuple[Tensor, Any]:
    """Return what an LSTM is asked with: games that begin."""
    return torch.ones(count, dtype=torch.bool), cast(ActorCritic, network).start(count)
