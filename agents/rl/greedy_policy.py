"""A trained policy network at play: greedy, with a memory of its own, so that training never notices."""

from __future__ import annotations

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from agents.rl.distributions import Categorical, Distribution
from agents.rl.interfaces import Policy
from agents.rl.policy_networks import ActorCritic


class Player:
    """Takes the likeliest action. Running statistics of the network are used as they are, never updated."""

    def __init__(self, network: ActorCritic) -> None:
        self.network = network
        self._first = np.ones(0, dtype=bool)
        self._state: Tensor | None = None

    def policy(self) -> Policy:
        """This player, for those who watch."""
        if isinstance(self.network.head.space, spaces.Discrete):
            return Policy(self.act, self.probabilities, "probability", self.begin)
        return Policy(self.act, begin=self.begin)

    def begin(self, first: np.ndarray) -> None:
        """first: (N,) bool, the next observations begin an episode."""
        if len(first) != len(self._first):
            self._state = self.network.start(len(first))
        self._first = first

    def act(self, obs: np.ndarray) -> np.ndarray:
        """The likeliest actions, (N,) int64 or (N, ...) within the space, for observations (N, ...)."""
        return self.network.head.to_world(self._say(obs).mode()[0])

    def probabilities(self, obs: np.ndarray) -> np.ndarray:
        """Probability (N, A) float32 of each action for observations (N, ...)."""
        said = self._say(obs)
        assert isinstance(said, Categorical)
        return said.log_probs[0].exp().cpu().numpy()

    @torch.no_grad()
    def _say(self, obs: np.ndarray) -> Distribution:
        device = next(self.network.parameters()).device
        first = self._first if len(self._first) == len(obs) else np.ones(len(obs), dtype=bool)
        policy, self._state = self.network.act(
            torch.from_numpy(np.ascontiguousarray(obs)).to(device)[None],
            torch.from_numpy(first).to(device)[None],
            self._state,
        )
        return policy
