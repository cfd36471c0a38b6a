"""Trained policies at play as they were trained: actions are drawn, with randomness of their own."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from agents.rl.distributions import ActionNoise, Categorical
from agents.rl.greedy_policy import GreedyActor, greedy_policy
from agents.rl.interfaces import Policy
from agents.rl.policy_networks import ActorCritic
from rl_gen_lab.cli.errors import ConfigError

NO_POLICY = (
    "--stochastic draws actions from a policy, and this agent has action values only: leave it out;"
    " --epsilon lets it explore (of a training: --eval.stochastic, --eval.epsilon)"
)


def policy_of(network: nn.Module, stochastic: bool) -> Policy:
    """Return the policy of an agent's network, greedy or as it was trained.

    Raises: ConfigError for a stochastic policy of a network of action values.
    """
    if not stochastic:
        return greedy_policy(network)
    if not isinstance(network, ActorCritic):
        raise ConfigError(NO_POLICY)
    return SampledActor(network).policy()


class SampledActor:
    """Draws actions from a policy network, with noise that is held as in training (`noise_hold_steps`)."""

    def __init__(self, network: ActorCritic) -> None:
        self.network, self.player = network, GreedyActor(network)
        self.hold_steps: int = getattr(network.head.config, "noise_hold_steps", 1)
        self.seed(0)

    def policy(self) -> Policy:
        """Return this as a policy; with probabilities where one of several actions is chosen."""
        return Policy(self.act, None, "probability", self.player.begin, self.sample, self.seed)

    def seed(self, seed: int) -> None:
        """Begin anew with randomness that depends on `seed` alone."""
        self.generator = torch.Generator(next(self.network.parameters()).device).manual_seed(seed % 2**63)
        self.noise: ActionNoise | None = None
        self.num_envs = 0

    def act(self, obs: np.ndarray) -> np.ndarray:
        """Return drawn actions, (N,) int64 or (N, ...) within the space, for observations (N, ...)."""
        return self.sample(obs)[0]

    def sample(self, obs: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Return drawn actions, and the probability (N, A) float32 of each where one of A is chosen."""
        distribution = self.player.distribution(obs)
        if self.noise is None or self.num_envs != len(obs):
            self.noise, self.num_envs = ActionNoise(self.hold_steps, len(obs), self.generator), len(obs)
        with torch.no_grad():
            actions = self.network.head.to_env(self.noise.sample(distribution))
        if isinstance(distribution, Categorical) and not distribution.joint:
            return actions, distribution.log_probs.exp().cpu().numpy()
        return actions, None
