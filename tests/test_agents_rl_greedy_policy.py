"""Greedy play: the largest value, the most probable action, and a recurrent state apart from that of training."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from fake_run import actor_of, make_agent, network_of
from policy_gradient_configs import (
    A2C,
)

from agents.rl.greedy_policy import GreedyActor, greedy_policy


def test_a_player_knows_nothing_of_training_s_memory() -> None:
    agent, rollout = make_agent(replace(A2C, lstm_units=8))
    actor_of(agent).act(rollout.obs, rollout.first)
    before = agent.actor.state.clone()
    player = GreedyActor(network_of(agent))
    obs = np.ones((2, 4), np.float32)
    player.begin(np.array([True, True]))
    fresh = player.probabilities(obs)
    player.begin(np.array([True, False]))
    again = player.probabilities(obs)
    assert np.allclose(again[0], fresh[0]) and not np.allclose(again[1], fresh[1], atol=1e-7)
    assert torch.equal(agent.actor.state, before)
    rollout.close()


def test_values_choose_the_largest_and_policies_the_most_probable_action() -> None:
    class Fixed(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))

        def forward(self, obs: torch.Tensor) -> torch.Tensor:
            return torch.stack([obs[:, 0], 2 * obs[:, 0]], 1)

    policy = greedy_policy(Fixed())
    assert policy.meaning == "Q-value" and policy.begin is None
    assert policy.act(np.array([[1.0], [-1.0]], np.float32)).tolist() == [1, 0]
    agent, runner = make_agent(A2C)
    runner.close()
    policy = greedy_policy(network_of(agent))
    assert policy.meaning == "probability" and policy.values is not None
    probabilities = policy.values(np.ones((3, 4), np.float32))
    assert probabilities.sum(1) == pytest.approx(np.ones(3))
    assert policy.act(np.ones((3, 4), np.float32)).tolist() == probabilities.argmax(1).tolist()
