"""Partially observable environments: the same dynamics underneath, with less to see."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest

from agents import ppo
from agents.training.cli import parse
from envs.factory import make_env, make_vec
from envs.probes.partially_observable import NO_VELOCITY


def test_cartpole_without_velocities_is_cartpole_with_two_numbers_shown() -> None:
    full_env, partial_env = gym.make("CartPole-v1"), gym.make(NO_VELOCITY)
    full, partial = full_env.reset(seed=3)[0], partial_env.reset(seed=3)[0]
    steps, over = 0, False
    while not over:
        assert np.array_equal(partial, full[[0, 2]])
        assert partial_env.observation_space.contains(partial)
        action = int(full[2] + 0.3 * full[3] > 0)  # keeps the pole up for long
        (full, *outcome), (partial, *partial_outcome) = full_env.step(action), partial_env.step(action)
        assert outcome[:3] == partial_outcome[:3]
        steps, over = steps + 1, bool(outcome[1] or outcome[2])
    assert steps > 100


def test_it_can_be_drawn_and_stepped_as_vectors() -> None:
    env = make_env(NO_VELOCITY)
    env.reset(seed=1)
    assert np.asarray(env.render()).ndim == 3
    env.close()
    vec = make_vec(NO_VELOCITY, 3)
    assert vec.reset(seed=1)[0].shape == (3, 2)
    vec.close()


@pytest.mark.parametrize("env_id", [NO_VELOCITY, "envs.partial:CartPoleNoVelocity-v1"])
def test_its_preset_is_found_under_its_id_and_under_the_id_of_earlier_runs(
    env_id: str, capsys: pytest.CaptureFixture[str]
) -> None:
    config = parse(ppo.Config, "ppo", ["--env", env_id])
    assert capsys.readouterr().out.strip().endswith("ppo_cartpolenovelocity-v1.toml")
    assert config.env == env_id and config.lstm_units == 64
    vec = make_vec(env_id, 2)
    assert vec.reset(seed=1)[0].shape == (2, 2)
    vec.close()
