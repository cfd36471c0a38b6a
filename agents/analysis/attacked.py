"""What of an agent is attacked: its scores of the actions by each pixel, and bounds on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from agents.analysis.explained import network_of
from agents.rl.distributions import Categorical
from agents.rl.interfaces import Policy
from agents.rl.policy_networks import ActorCritic
from rl_gen_lab.backbones.convolutional import ScaledConv2d
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.explain.certified import certified, margin_bounds
from rl_gen_lab.explain.interval_bounds import Interval


@dataclass(frozen=True)
class Target:
    """A network that chooses actions by frames."""

    network: nn.Module

    @classmethod
    def of(cls, policy: Policy) -> Target:
        """Return the network of a policy. Raises: ConfigError for an agent whose frames cannot be attacked."""
        network = network_of(policy)
        if not any(isinstance(module, ScaledConv2d) for module in network.modules()):
            raise ConfigError(
                "this agent sees numbers, not frames, and gray levels mean nothing to it: agents of frames can be"
                " attacked, those trained without --world.observe"
            )
        if isinstance(network, ActorCritic) and network.core is not None:
            raise ConfigError(
                "this agent has a memory, and an attack on one frame would act on all later ones: agents without"
                " --lstm-units can be attacked"
            )
        return cls(network)

    def scores(self, frames: Tensor) -> Tensor:
        """Return the scores by which an action is chosen: action values, or log-probabilities. (B, C, H, W) -> (B, A).

        Raises: ConfigError for an agent that does not choose one of several actions.
        """
        if not isinstance(self.network, ActorCritic):
            return cast(Tensor, self.network(frames))
        policy, _ = self.network.act(frames, torch.ones(len(frames), dtype=torch.bool), None)
        if not isinstance(policy, Categorical) or policy.joint:
            raise ConfigError("this agent does not choose one of several actions: agents that do can be attacked")
        return policy.log_probs

    @torch.no_grad()
    def margins(self, frames: Tensor, levels: float) -> Tensor:
        """Return the least margins between all pairs of actions within a budget, (B, A, A), by interval bounds.

        Of an ensemble's mean the mean of its members' bounds. Raises: ConfigError for layers without bounds.
        """
        box = Interval.around(frames, levels)
        network: Any = self.network
        if isinstance(network, ActorCritic):
            return margin_bounds(network.backbone(box), network.head.out)
        return torch.stack([margin_bounds(one.backbone(box), one.advantage) for one in network.members]).mean(0)

    def certified(self, frames: Tensor, chosen: Tensor, levels: float) -> Tensor:
        """Return whether no change within the budget can change the action, (B,) bool."""
        return certified(self.margins(frames, levels), chosen)

    def has_bounds(self, shape: tuple[int, ...]) -> bool:
        """Return whether all layers have interval bounds. shape: of an observation."""
        try:
            self.margins(torch.zeros(1, *shape), 1.0)
        except ConfigError:
            return False
        return True
