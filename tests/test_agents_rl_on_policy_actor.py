"""The actor of on-policy agents: its recurrent state, the end of a rollout, and what a checkpoint holds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from fake_run import actor_of, learn, make_agent, network_of, step
from policy_gradient_configs import (
    A2C,
    PPO,
)


@pytest.mark.parametrize("plain", [A2C, PPO], ids=["actor_critic", "ppo"])
def test_a_memory_is_reset_where_an_episode_begins_and_nowhere_else(plain: Any) -> None:
    agent, rollout = make_agent(replace(plain, lstm_units=8, num_envs=2))
    network_of(agent).requires_grad_(False)
    by_hand = network_of(agent).start(2)
    begun = np.ones(2, dtype=bool)
    resets = 0
    for _ in range(60):
        obs = torch.from_numpy(rollout.obs.copy())
        by_hand = by_hand * torch.from_numpy(~begun)[None, :, None]
        none = torch.zeros(2, dtype=torch.bool)
        _, by_hand = network_of(agent).act(obs, none, by_hand)
        step, _ = rollout.step(actor_of(agent).act(rollout.obs, rollout.first))
        torch.testing.assert_close(agent.actor.state, by_hand)
        begun = step.dummy  # what the dummy step shows is a first observation
        resets += int(begun.sum())
    assert resets > 2
    rollout.close()


def test_a_cut_that_fills_the_rollout_is_learned_from() -> None:
    agent, runner = make_agent(A2C)
    learned: list[int] = []
    for _ in range(A2C.rollout_steps - 1):
        step(agent, runner)
    agent.actor.cut(lambda: learned.append(agent.actor.buffer.length))
    assert learned == [A2C.rollout_steps]
    agent.actor.next_rollout()
    agent.actor.cut(lambda: learned.append(0))  # nothing was collected, so nothing ends
    assert learned == [A2C.rollout_steps]
    runner.close()


def test_a_restored_actor_continues_as_the_one_that_was_saved() -> None:
    config = replace(A2C, lstm_units=8, normalize_rewards=True)
    agent, runner = make_agent(config)
    learn(agent, runner, 2)
    step(agent, runner)
    twin, other = make_agent(replace(config, seed=2))
    twin.actor.load_state_dict(agent.actor.state_dict())
    assert (twin.actor.env_steps, twin.actor.updates) == (agent.actor.env_steps, agent.actor.updates)
    assert torch.equal(twin.actor.state, agent.actor.state)
    assert twin.actor.buffer.length == agent.actor.buffer.length == 1
    assert torch.equal(twin.actor.reward_scaler.running, agent.actor.reward_scaler.running)
    runner.close()
    other.close()
