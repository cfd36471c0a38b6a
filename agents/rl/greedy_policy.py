"""Trained networks at play: greedy, with a recurrent state of their own, so that training is not disturbed."""

from __future__ import annotations

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from agents.rl import ops
from agents.rl.distributions import Categorical, Distribution
from agents.rl.interfaces import Policy
from agents.rl.policy_networks import ActorCritic


def greedy_policy(network: nn.Module) -> Policy:
    """Return the greedy policy of an agent's network: a policy network, or one of action values (B, A)."""
    return GreedyActor(network).policy() if isinstance(network, ActorCritic) else GreedyValues(network).policy()


class GreedyValues:
    """Takes the action of the largest Q-value."""

    def __init__(self, network: nn.Module) -> None:
        self.network = network

    def policy(self) -> Policy:
        """Return this as a policy."""
        return Policy(self.act, self.values)

    def act(self, obs: np.ndarray) -> np.ndarray:
        """Return the best actions (N,) int64 for observations (N, ...)."""
        return self.values(obs).argmax(1)

    @torch.no_grad()
    def values(self, obs: np.ndarray) -> np.ndarray:
        """Return action values (N, A) float32 of observations (N, ...)."""
        q: Tensor = self.network(ops.to_tensor(obs, next(self.network.parameters()).device))
        return q.cpu().numpy()


class GreedyActor:
    """Takes the most probable action. Uses the network's running statistics as they are, and never updates them."""

    def __init__(self, network: ActorCritic) -> None:
        self.network = network
        self._first = np.ones(0, dtype=bool)
        self._state: Tensor | None = None

    def policy(self) -> Policy:
        """Return this as a policy; with probabilities where the actions are discrete."""
        if isinstance(self.network.head.space, spaces.Discrete):
            return Policy(self.act, self.probabilities, "probability", self.begin)
        return Policy(self.act, begin=self.begin)

    def begin(self, first: np.ndarray) -> None:
        """Announce the next observations. first: (N,) bool, they begin an episode."""
        if len(first) != len(self._first):
            self._state = self.network.start(len(first))
        self._first = first

    def act(self, obs: np.ndarray) -> np.ndarray:
        """Return the most probable actions, (N,) int64 or (N, ...) within the space, for observations (N, ...)."""
        return self.network.head.to_env(self.distribution(obs).mode())

    def probabilities(self, obs: np.ndarray) -> np.ndarray:
        """Return the probability (N, A) float32 of each action for observations (N, ...)."""
        distribution = self.distribution(obs)
        assert isinstance(distribution, Categorical)
        return distribution.log_probs.exp().cpu().numpy()

    @torch.no_grad()
    def distribution(self, obs: np.ndarray) -> Distribution:
        """Return the distribution over actions, of (N,), for observations (N, ...)."""
        device = next(self.network.parameters()).device
        first = self._first if len(self._first) == len(obs) else np.ones(len(obs), dtype=bool)
        obs_now, first_now = (ops.to_tensor(array, device) for array in (obs, first))
        policy, self._state = self.network.act(obs_now, first_now, self._state)
        return policy
