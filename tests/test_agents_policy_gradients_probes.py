"""Policy gradients on environments of known answer: values, actions, memory, and the price of each mistake."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from fake_run import FakeRun, train
from torch import Tensor

from agents import actor_critic, ppo, reinforce
from agents.rl.greedy_policy import GreedyActor
from agents.rl.policy_networks import ActorCritic
from agents.rl.rollout_buffer import Advantages, RolloutBuffer
from agents.training.config import PolicyConfig
from agents.training.evaluate import evaluate
from envs.probes.policies import ABOVE, AIM, DIALS, RECALL, SWITCHES, Above, Aim
from envs.probes.values import KNOWN
from rl_gen_lab.cli.settings import DeviceConfig

pytestmark = pytest.mark.slow

TOLERANCE = 0.08
COMMON: dict[str, Any] = {
    "seed": 1,
    "entropy_coefficient": 0.1,
    "entropy_coefficient_end": 0.0,
    "learning_rate": 1e-2,
    "learning_rate_end": 1e-4,
    "max_grad_norm": 10.0,
    "policy": PolicyConfig("mlp_small"),
    "device": DeviceConfig(device="cpu"),
}
A2C = actor_critic.Config(
    **COMMON,
    num_envs=4,
    rollout_steps=8,
    optimizer="adam",
    gae_lambda=0.9,
    value_coefficient=2.0,
    total_env_steps=16_000,
)
PPO = ppo.Config(**COMMON, num_envs=4, rollout_steps=16, minibatch_size=32, gae_lambda=0.9, total_env_steps=8_000)
REINFORCE = reinforce.Config(
    **COMMON, num_envs=8, value_learning_rate=3e-3, value_updates=8, normalize_advantages=False, total_env_steps=10_000
)
AGENTS: dict[str, Any] = {"actor_critic": A2C, "ppo": PPO, "reinforce": REINFORCE}


def value_of_start(run: FakeRun, states: int) -> float:
    start = torch.eye(states)[:1][None]
    network: Any = run.network
    with torch.no_grad():
        output = network(start, torch.ones(1, 1, dtype=torch.bool), network.start(1))
    return float(output.value)


def policy_of(run: FakeRun) -> ActorCritic:
    assert isinstance(run.network, ActorCritic)
    return run.network


def train_whole(config: Any) -> FakeRun:
    return train(config, env_steps=config.total_env_steps)


def states_of(world: str) -> int:
    return {"termination": 2, "truncation": 3, "n_step": 4, "episode_tail": 3, "patience": 2}[world]


# REINFORCE begins anew after each batch, and a seeded reset of episode_tail shows short episodes only.
RIGHT = [(agent, world) for agent in AGENTS for world in KNOWN if (agent, world) != ("reinforce", "episode_tail")]


@pytest.mark.parametrize(("agent", "world"), RIGHT)
def test_the_critic_finds_the_value_known_on_paper(agent: str, world: str) -> None:
    known = KNOWN[world]
    config = replace(AGENTS[agent], env=known.env, gamma=known.gamma)
    if (agent, world) == ("ppo", "n_step"):  # after 8,000 steps rounding still decides
        config = replace(config, num_envs=8, minibatch_size=64, total_env_steps=24_000)
    assert value_of_start(train_whole(config), states_of(world)) == pytest.approx(known.value, abs=TOLERANCE)


def advantages_with(mistake: str) -> Callable[..., Advantages]:
    """One mistake in the code that all critics share; every other line is right."""
    right = RolloutBuffer.advantages

    def wrong(self: RolloutBuffer, value: Tensor, reward: Tensor, gamma: float, lambda_: float) -> Advantages:
        terminated, ended, dummy = self.terminated.clone(), self.ended.clone(), self.dummy.clone()
        try:
            if mistake == "bootstraps_through_termination":
                self.terminated[:] = False
            if mistake == "no_bootstrap_at_truncation":
                self.terminated |= self.ended & ~self.dummy
            if mistake == "stores_dummy_step":
                self.dummy[:] = False
            if mistake == "bootstraps_from_next_episode":
                value = value.detach().clone()
                rows, copies = self.dummy.nonzero(as_tuple=True)
                value[rows, copies] = value[rows + 1, copies]  # what the step before the dummy row looks at
            return right(self, value, reward, gamma, lambda_)
        finally:
            self.terminated[:], self.ended[:], self.dummy[:] = terminated, ended, dummy

    return wrong


MISTAKES = [
    ("termination", "bootstraps_through_termination"),
    ("truncation", "no_bootstrap_at_truncation"),
    ("truncation", "bootstraps_from_next_episode"),
    ("truncation", "stores_dummy_step"),
    ("patience", "no_bootstrap_at_truncation"),
]


@pytest.mark.parametrize(("world", "mistake"), MISTAKES)
def test_each_mistake_gives_its_own_wrong_number(monkeypatch: pytest.MonkeyPatch, world: str, mistake: str) -> None:
    monkeypatch.setattr(RolloutBuffer, "advantages", advantages_with(mistake))
    known = KNOWN[world]
    # One-step targets, for which the numbers hold; rollouts that end anywhere in an episode.
    trained = train_whole(replace(A2C, env=known.env, gamma=known.gamma, gae_lambda=0.0, rollout_steps=12))
    found = value_of_start(trained, states_of(world))
    assert found == pytest.approx(known.mistakes[mistake], abs=2 * TOLERANCE)
    assert found != pytest.approx(known.value, abs=2 * TOLERANCE)


@pytest.mark.parametrize("agent", AGENTS)
def test_a_truncated_episode_must_bootstrap_for_the_right_action_to_look_best(
    agent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = KNOWN["patience"]
    # Entropy keeps both actions alive until the value of waiting is known.
    config = replace(AGENTS[agent], env=known.env, gamma=known.gamma, total_env_steps=6_000, entropy_coefficient=0.5)
    start = np.eye(2, dtype=np.float32)[:1]
    assert GreedyActor(policy_of(train_whole(config))).probabilities(start)[0, 1] > 0.9
    if agent == "reinforce":
        config = replace(config, truncation="end")
    monkeypatch.setattr(RolloutBuffer, "advantages", advantages_with("no_bootstrap_at_truncation"))
    assert GreedyActor(policy_of(train_whole(config))).probabilities(start)[0, 1] < 0.1


def test_reinforce_without_bootstrapping_learns_the_value_of_the_cut_episode() -> None:
    known = KNOWN["truncation"]
    trained = train_whole(replace(REINFORCE, env=known.env, gamma=known.gamma, truncation="end"))
    expected = known.mistakes["no_bootstrap_at_truncation"]
    assert value_of_start(trained, 3) == pytest.approx(expected, abs=TOLERANCE)


def test_reinforce_does_not_learn_from_cut_episodes_if_told_so() -> None:
    for baseline in ("none", "learned"):
        config = replace(REINFORCE, env=KNOWN["truncation"].env, truncation="drop", baseline=baseline)
        assert train_whole(replace(config, total_env_steps=200)).updates == 0
    config = replace(config, env=KNOWN["termination"].env, total_env_steps=200)
    assert train_whole(config).updates > 0


@pytest.mark.parametrize("squash", [False, True], ids=["clipped", "squashed"])
@pytest.mark.parametrize("agent", AGENTS)
def test_continuous_actions_come_to_the_closed_form_optimum(agent: str, squash: bool) -> None:
    policy = PolicyConfig("mlp_small", squash=squash, state_dependent_std=squash, log_std_start=-1.0)
    changes = {"policy": policy, "learning_rate": 2e-3, "normalize_advantages": True, "entropy_coefficient": 0.0}
    config = replace(AGENTS[agent], env=AIM, gamma=0.8, total_env_steps=16_000, **changes)
    trained = train_whole(config)
    actions = GreedyActor(policy_of(trained)).act(np.eye(2, dtype=np.float32))
    assert actions[:, 0].tolist() == pytest.approx(Aim.TARGETS, abs=0.12)
    # 5 for a policy without spread, 2.44 if truncation were taken for termination.
    assert 4.0 < value_of_start(trained, 2) < 5.1


@pytest.mark.parametrize("agent", ["actor_critic", "ppo"])
def test_a_memory_recalls_the_cue_and_without_one_nobody_can(agent: str) -> None:
    scores = {}
    for units in (0, 16):
        config = replace(
            AGENTS[agent], env=RECALL, num_envs=8, rollout_steps=16, lstm_units=units, entropy_coefficient=0.01,
            total_env_steps={"actor_critic": 20_000, "ppo": 10_000}[agent],
        )  # fmt: skip
        policy = GreedyActor(policy_of(train_whole(config))).policy()
        scores[units] = np.mean(evaluate(RECALL, config.world, policy.act, 200, 1, begin=policy.begin).returns)
    assert scores[16] > 0.95
    assert scores[0] < 0.7  # 0.5 on average: more than 0.7 of 200 happens once in a hundred million


@pytest.mark.parametrize("world", [DIALS, SWITCHES], ids=["MultiDiscrete", "MultiBinary"])
@pytest.mark.parametrize("agent", AGENTS)
def test_actions_of_several_entries_are_all_set_right(agent: str, world: str) -> None:
    config = replace(AGENTS[agent], env=world, total_env_steps=6_000)
    policy = GreedyActor(policy_of(train_whole(config))).policy()
    assert np.mean(evaluate(world, config.world, policy.act, 4, 1).returns) == 4.0  # by chance: 1.44 and 2


@pytest.mark.parametrize("agent", AGENTS)
def test_an_action_with_one_bound_comes_to_the_optimum_beyond_it(agent: str) -> None:
    changes = {"learning_rate": 5e-3, "entropy_coefficient": 0.0, "normalize_advantages": True}
    config = replace(AGENTS[agent], env=ABOVE, total_env_steps=12_000, **changes)
    action = GreedyActor(policy_of(train_whole(config))).act(np.ones((1, 1), np.float32))
    assert action[0, 0] == pytest.approx(Above.TARGET, abs=0.15)
