"""Schedules of DQN, and settings and spaces that it refuses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from dqn_agents import ACTIONS, SMALL, VECTOR, new_agent, values
from gymnasium import spaces

from agents import dqn
from agents.dqn import DQN
from agents.rl.replay import ReplayConfig
from rl_gen_lab.cli.errors import ConfigError


def test_epsilon_falls_from_start_to_end_after_learning_starts() -> None:
    config = replace(SMALL, epsilon_start=1.0, epsilon_end=0.1, epsilon_env_steps=100, learning_starts_env_steps=50)
    agent = new_agent(config)
    seen = []
    for steps in (0, 50, 100, 150, 1_000):
        agent.env_steps = steps
        seen.append(agent.epsilon())
    assert seen == pytest.approx([1.0, 1.0, 0.55, 0.1, 0.1])


def test_the_ladder_gives_every_environment_its_own_epsilon() -> None:
    config = replace(SMALL, num_envs=3, epsilon_start=0.5, epsilon_end=0.5, epsilon_ladder=7.0)
    agent = new_agent(config)
    obs = np.zeros((3, 4), np.float32)
    best = values(agent, obs).argmax(1)
    moved = np.mean([agent.act(obs) != best for _ in range(4_000)], axis=0)
    # 0.5, 0.5^4.5, 0.5^8, times the 2 of 3 random actions that differ from the best; 5 standard errors.
    assert moved == pytest.approx([0.5 * 2 / 3, 0.5**4.5 * 2 / 3, 0.5**8 * 2 / 3], abs=0.035)


def scheduled(quantity: Callable[[DQN], float], **settings: object) -> list[float]:
    agent = new_agent(replace(SMALL, **settings))
    seen = []
    for steps in (0, 50, 100, 200):
        agent.env_steps = steps
        seen.append(quantity(agent))
    return seen


def test_n_step_shrinks_on_schedule() -> None:
    assert scheduled(DQN.n_step, n_step=10, n_step_end=2, horizon_env_steps=100) == [10, 6, 2, 2]


def test_the_step_size_falls_over_the_run_or_sooner() -> None:
    falling = {"learning_rate": 1e-3, "learning_rate_end": 0.0, "total_env_steps": 200}
    assert scheduled(DQN.learning_rate, **falling) == pytest.approx([1e-3, 7.5e-4, 5e-4, 0.0])
    sooner = scheduled(DQN.learning_rate, **falling, learning_rate_env_steps=100)
    assert sooner == pytest.approx([1e-3, 5e-4, 0.0, 0.0])


@pytest.mark.parametrize("name", ["priority_exponent", "priority_beta"])
@pytest.mark.parametrize("value", [-1.0, float("nan")])
def test_impossible_priorities_are_refused(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"{name} must be from 0 to 10"):
        ReplayConfig(**{name: value})  # type: ignore[arg-type]


def test_an_ensemble_that_does_not_fit_is_refused_with_the_size_that_does() -> None:
    size = sum(tensor.nbytes for tensor in new_agent(SMALL).online.state_dict().values())
    dqn.make_network(replace(SMALL, ensemble_size=11), VECTOR, ACTIONS, free_bytes=21 * size)
    with pytest.raises(ConfigError, match="use --ensemble-size 11 or less"):
        dqn.make_network(replace(SMALL, ensemble_size=12), VECTOR, ACTIONS, free_bytes=21 * size)


def test_continuous_actions_are_refused_and_the_agents_that_can_are_named() -> None:
    with pytest.raises(ConfigError, match="ppo, actor_critic, reinforce"):
        new_agent(SMALL, VECTOR, spaces.Box(-1, 1, (1,)))


@pytest.mark.parametrize("space", [spaces.MultiDiscrete([2, 3]), spaces.MultiBinary(3)], ids=str)
def test_several_discrete_actions_at_once_are_refused_naming_the_agents_that_take_them(space: Any) -> None:
    with pytest.raises(ConfigError, match=r"has Multi.*MultiDiscrete and MultiBinary actions: ppo, actor_critic"):
        new_agent(SMALL, VECTOR, space)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("gamma", 1.5),
        ("batch_size", 0),
        ("learning_rate", -1.0),
        ("n_step_end", 9),
        ("adam_eps", -1.0),
        ("learning_rate", float("inf")),
        ("learning_rate_end", -1.0),
        ("learning_starts_env_steps", -5),
        ("epsilon_ladder", -3.0),
        ("ensemble_size", 0),
        ("replay", ReplayConfig(capacity=8)),
        ("replay", ReplayConfig(capacity=SMALL.batch_size - 1)),
    ],
)
def test_impossible_settings_are_refused(field: str, value: object) -> None:
    with pytest.raises(ConfigError, match=field):
        replace(SMALL, **{field: value})
