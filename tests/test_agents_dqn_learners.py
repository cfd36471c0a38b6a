"""DQN whose networks learn side by side: each from minibatches of its own, towards the mean of the targets."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import cast

import numpy as np
import pytest
import torch
from dqn_agents import PIXELS, SMALL, agent_with_memory, new_agent, values

from agents import dqn
from agents.rl.q_networks import MeanQNetwork, QEnsemble

PAIR = replace(SMALL, learners=2, double=False, n_step=2, learning_rate=3e-3)


def all_weights(agent: dqn.DQN) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in agent.online.parameters()])


@pytest.mark.parametrize("double", [False, True])
def test_each_learner_is_taught_from_a_minibatch_of_its_own_by_the_mean_of_the_targets(double: bool) -> None:
    config = replace(PAIR, double=double, gamma=0.9)
    agent = agent_with_memory(config)
    online, target = copy.deepcopy(agent.online.members), copy.deepcopy(agent.target.members)
    generator = agent.sampling.clone_state()
    agent.learn()
    for network, learned in zip(online, agent.online.members, strict=True):
        batch = agent.replay.sample(config.batch_size, config.n_step, config.gamma, generator, 0.4)
        with torch.no_grad():
            q_t = sum(member(batch.obs_t) for member in target) / 2
            judge = sum(member(batch.obs_t) for member in online) / 2 if double else q_t
            best = q_t.gather(1, judge.argmax(1, keepdim=True))[:, 0]
            aim = batch.reward_t + batch.discount_t * best
        expected = copy.deepcopy(network)
        chosen = expected(batch.obs_tm1).gather(1, batch.action_tm1[:, None])[:, 0]
        torch.nn.functional.huber_loss(chosen, aim).backward()
        torch.nn.utils.clip_grad_norm_(expected.parameters(), config.max_grad_norm)
        torch.optim.Adam(expected.parameters(), lr=config.learning_rate, eps=config.adam_eps).step()
        for own, by_hand in zip(learned.parameters(), expected.parameters(), strict=True):
            torch.testing.assert_close(own, by_hand, rtol=1e-4, atol=1e-6)


def test_threads_of_the_learners_change_nothing() -> None:
    found = []
    for alone in (False, True):
        agent = agent_with_memory(PAIR, PIXELS)
        assert agent._map is not map
        if alone:
            agent._map = map
        for _ in range(10):
            agent.learn()
        found.append(all_weights(agent))
    assert torch.equal(*found)


def test_a_failure_in_a_learner_reaches_the_caller() -> None:
    agent = agent_with_memory(PAIR)

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("out of memory")

    agent._loss = fail
    with pytest.raises(RuntimeError, match="out of memory"):
        agent.learn()


def test_learners_act_and_are_evaluated_by_their_mean_and_differ_from_one_another() -> None:
    agent = agent_with_memory(replace(PAIR, ensemble_size=2, epsilon_start=0.0, epsilon_end=0.0))
    for _ in range(20):
        agent.learn()
    obs = np.random.default_rng(0).normal(size=(PAIR.num_envs, 4)).astype(np.float32)
    of_each = [values(agent, obs, member) for member in agent.online.members]
    assert len(of_each) == 2 and not np.allclose(*of_each, atol=1e-3)
    np.testing.assert_allclose(values(agent, obs), sum(of_each) / 2, atol=1e-6)  # no snapshot yet
    np.testing.assert_array_equal(agent.act(obs), np.argmax(sum(of_each), 1))
    cast(QEnsemble, agent.network).snapshot()
    assert len(agent.network.members) == 4


def test_a_checkpoint_continues_exactly() -> None:
    config = replace(PAIR, ensemble_size=2)
    agent = agent_with_memory(config)
    agent.learn()
    state = copy.deepcopy(agent.state_dict())
    other = new_agent(replace(config, seed=2))
    other.load_state_dict(state)
    other.sampling.set_state(agent.sampling.get_state())
    for each in (agent, other):
        for _ in range(3):
            each.learn()
    assert torch.equal(all_weights(agent), all_weights(other))


def test_one_learner_is_the_network_itself() -> None:
    assert not isinstance(new_agent(SMALL).online, MeanQNetwork)
    assert isinstance(new_agent(PAIR).online, MeanQNetwork)
