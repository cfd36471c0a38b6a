"""Play as in training: the frequencies of the policy, randomness of its own, a memory, and noise that is held."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from fake_run import actor_of, make_agent, network_of
from gymnasium import spaces
from policy_gradient_configs import A2C

from agents.rl.policy_networks import ActorCritic
from agents.rl.q_networks import QNetwork
from agents.rl.sampled_policy import SampledActor, policy_of
from agents.training.config import PolicyConfig
from rl_gen_lab.cli.errors import ConfigError


def actor(space: spaces.Space, **settings: int) -> SampledActor:
    torch.manual_seed(0)
    network = ActorCritic((4,), space, PolicyConfig("mlp_small", **settings), "none")  # type: ignore[arg-type]
    torch.nn.init.normal_(network.head.out.weight)
    return SampledActor(network)


def test_actions_are_drawn_with_the_probabilities_that_are_shown() -> None:
    player = actor(spaces.Discrete(3))
    obs = np.ones((20_000, 4), np.float32)
    actions, scores = player.policy().decide(obs)
    assert scores is not None and scores.shape == (20_000, 3)
    seen = np.bincount(actions, minlength=3) / len(actions)
    # 5 standard errors of the most uncertain one; a false alarm once in a million.
    assert seen == pytest.approx(scores[0], abs=5 * 0.5 / len(actions) ** 0.5)
    assert seen.min() > 0.01


@pytest.mark.parametrize(
    "space", [spaces.Box(-1, 1, (2,), np.float32), spaces.MultiDiscrete([3, 2]), spaces.MultiBinary(3)], ids=str
)
def test_actions_of_several_entries_are_drawn_and_lie_in_the_space(space: spaces.Space) -> None:
    actions, scores = actor(space).policy().decide(np.ones((50, 4), np.float32))
    assert scores is None and len({action.tobytes() for action in actions}) > 2
    assert all(space.contains(action) for action in actions)


def test_the_same_seed_draws_the_same_and_the_global_generator_is_left_alone() -> None:
    policy, obs = actor(spaces.Discrete(3)).policy(), np.ones((30, 4), np.float32)
    assert policy.seed is not None
    before = torch.get_rng_state()
    drawn = []
    for seed in (5, 5, 6):
        policy.seed(seed)
        drawn.append([policy.act(obs).tolist() for _ in range(3)])
    assert drawn[0] == drawn[1] != drawn[2] and drawn[0][0] != drawn[0][1]
    assert torch.equal(torch.get_rng_state(), before)


def test_noise_is_held_as_in_training() -> None:
    policy, obs = actor(spaces.Box(-1, 1, (1,), np.float32), noise_hold_steps=4).policy(), np.ones((1, 4), np.float32)
    drawn = [float(policy.act(obs)[0, 0]) for _ in range(8)]
    assert len(set(drawn[:4])) == len(set(drawn[4:])) == 1 and drawn[0] != drawn[4]


def test_a_memory_is_told_of_new_episodes_and_apart_from_training_s() -> None:
    agent, rollout = make_agent(replace(A2C, lstm_units=8))
    actor_of(agent).act(rollout.obs, rollout.first)
    before = agent.actor.state.clone()
    policy = policy_of(network_of(agent), stochastic=True)
    fresh = policy.choose(np.ones((2, 4), np.float32), np.array([True, True]))[1]
    again = policy.choose(np.ones((2, 4), np.float32), np.array([True, False]))[1]
    assert fresh is not None and again is not None
    assert np.allclose(again[0], fresh[0]) and not np.allclose(again[1], fresh[1], atol=1e-7)
    assert torch.equal(agent.actor.state, before)
    rollout.close()


def test_action_values_are_no_policy_to_draw_from() -> None:
    network = QNetwork("mlp_small", (4,), 2, dueling=False)
    assert policy_of(network, stochastic=False).meaning == "Q-value"
    with pytest.raises(ConfigError, match=r"this agent has action values only.*--eval\.epsilon"):
        policy_of(network, stochastic=True)
