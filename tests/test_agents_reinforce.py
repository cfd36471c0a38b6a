"""REINFORCE: its loss by hand, whole episodes, and what a time limit, a life or a point does to a return."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from fake_run import actor_of, make_agent, network_of
from policy_gradient_configs import (
    ADVANTAGE,
    ENTROPY,
    LOG_PROB,
    REINFORCE,
    weights_after,
)

from agents import reinforce
from agents.rl.interfaces import Step


def test_the_loss_of_reinforce_by_hand() -> None:
    loss, policy_loss, entropy = reinforce.reinforce_loss(
        LOG_PROB[:2, 0], ENTROPY[:2, 0], ADVANTAGE[:2, 0], entropy_coefficient=0.1
    )
    assert float(loss) == pytest.approx(0.5 - 0.1 * 0.6)
    assert float(policy_loss) == pytest.approx(0.5), "without the entropy bonus, as in the other agents"
    assert float(entropy) == pytest.approx(0.6)


def test_reinforce_in_chunks_is_reinforce_at_once() -> None:
    torch.testing.assert_close(weights_after(REINFORCE), weights_after(replace(REINFORCE, chunk_steps=7)))


def test_reinforce_scales_rewards_by_the_returns_of_its_own_episodes() -> None:
    agent, rollout = make_agent(replace(REINFORCE, normalize_rewards=True))
    found = []
    for _ in range(2):
        while not actor_of(agent).buffer.full:
            actor_of(agent).observe(rollout.step(actor_of(agent).act(rollout.obs))[0])
        # CartPole pays 1 a step: after n steps of an episode the running return is 1 + 0.99 + ... of n terms.
        lengths = torch.stack(agent.buffer._rows["alive"]).sum(0).tolist()
        found += [(1 - 0.99**n) / 0.01 for length in lengths for n in range(1, length + 1)]
        agent.learn()
        rollout.restart()
    assert float(actor_of(agent).reward_scaler.moments.var) == pytest.approx(np.var(found), rel=1e-4)
    rollout.close()


def test_reinforce_plays_one_whole_episode_in_each_copy_and_ignores_what_comes_after() -> None:
    agent, rollout = make_agent(REINFORCE)
    lengths = np.zeros(3)
    over = np.zeros(3, dtype=bool)
    while not actor_of(agent).buffer.full:
        step, _ = rollout.step(actor_of(agent).act(rollout.obs))
        actor_of(agent).observe(step)
        lengths += ~over
        over |= step.terminated | step.truncated
    alive = torch.stack(agent.buffer._rows["alive"])
    assert alive.sum(0).tolist() == lengths.tolist()
    mask, returns = agent._returns(agent.buffer.take())
    # CartPole pays 1 a step, so the first return is the discounted length, and nothing follows the end.
    assert returns[0].tolist() == pytest.approx([(1 - 0.99**n) / 0.01 for n in lengths], rel=1e-5)
    assert (returns[~mask] == 0).all()
    rollout.close()


@pytest.mark.parametrize("truncation", ["bootstrap", "drop", "end"])
def test_reinforce_learns_from_each_life_or_point_by_itself(truncation: Any) -> None:
    agent, rollout = make_agent(replace(REINFORCE, num_envs=2, gamma=0.5, truncation=truncation))
    obs = rollout.obs.astype(np.float32)
    network_of(agent).value = lambda obs: torch.full((2,), 8.0)
    # Both copies are cut at the third step; the first loses a point in the second, the second one in the third.
    for t, points in enumerate([(False, False), (True, False), (False, True)]):
        actor_of(agent).act(obs)
        none, cut = np.zeros(2, bool), np.full(2, t == 2)
        actor_of(agent).observe(
            Step(obs, np.zeros(2, np.int64), np.ones(2, np.float32), none, cut, np.array(points), none, none, obs)
        )
    mask, returns = agent._returns(agent.buffer.take())
    beyond = 0.5 * 8 if truncation == "bootstrap" else 0.0
    assert returns.T.tolist() == [[1.5, 1.0, 1.0 + beyond], [1.75, 1.5, 1.0]]
    assert mask.T.tolist() == [[True, True, truncation != "drop"], [True, True, True]]
    rollout.close()
