"""The quick vector environment against Gymnasium's own, step for step."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from envs.serial import SerialVectorEnv

SHORT = {"CartPole-v1": 30, "Pendulum-v1": 25, "MountainCar-v0": 20}


class Told(gym.Wrapper[Any, Any, Any, Any]):
    """Infos of an environment that has something to tell: a number in every step, a word in some."""

    def step(self, action: Any) -> Any:
        obs, reward, terminated, truncated, info = self.env.step(action)
        return (
            obs,
            reward,
            terminated,
            truncated,
            info | {"speed": float(obs[1])} | ({"word": "left"} if obs[0] < 0 else {}),
        )


def assert_same(left: Any, right: Any) -> None:
    """Equal values and types, dictionaries and object arrays included."""
    assert type(left) is type(right)
    if isinstance(left, dict):
        assert list(left) == list(right)
        for key in left:
            assert_same(left[key], right[key])
    elif isinstance(left, np.ndarray):
        assert left.dtype == right.dtype and left.shape == right.shape
        for a, b in zip(left.ravel(), right.ravel(), strict=True):
            assert_same(a, b) if isinstance(a, np.ndarray | dict) else np.testing.assert_equal(a, b)
    else:
        assert left == right


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
@pytest.mark.parametrize("told", [False, True])
@pytest.mark.parametrize("name", SHORT)
def test_steps_are_those_of_gymnasium(name: str, told: bool, mode: AutoresetMode) -> None:
    def make() -> gym.Env[Any, Any]:
        env = gym.make(name, max_episode_steps=SHORT[name])
        return Told(env) if told else env

    quick, gymnasium = SerialVectorEnv([make] * 3, autoreset_mode=mode), SyncVectorEnv([make] * 3, autoreset_mode=mode)
    quick.action_space.seed(0)
    assert_same(quick.reset(seed=5)[0], gymnasium.reset(seed=5)[0])
    ends = 0
    for step in range(120):
        if step == 70:  # in the middle of episodes
            assert_same(quick.reset(seed=9)[0], gymnasium.reset(seed=9)[0])
        actions = quick.action_space.sample()
        results, expected = quick.step(actions), gymnasium.step(actions)
        for result, right in zip(results, expected, strict=True):
            assert_same(result, right)
        ends += int((results[2] | results[3]).sum())
    assert ends >= 9


def test_a_step_leaves_the_arrays_of_the_step_before_alone() -> None:
    vec = SerialVectorEnv([lambda: gym.make("CartPole-v1")] * 2)
    vec.reset(seed=0)
    first = vec.step(np.array([0, 1]))[0]
    kept = first.copy()
    vec.step(np.array([1, 0]))
    np.testing.assert_array_equal(first, kept)


class Asked(gym.Env[Any, Any]):
    """An environment that is none of Gymnasium's, and keeps the actions as it got them."""

    observation_space = gym.spaces.Box(-1.0, 1.0, (1,))
    action_space = gym.spaces.Discrete(3)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        self.got: list[Any] = []
        return np.zeros(1, np.float32), {}

    def step(self, action: Any) -> Any:
        self.got.append(action)
        return np.zeros(1, np.float32), 0.0, False, False, {}


def test_an_environment_of_somebody_else_gets_the_actions_of_numpy() -> None:
    vec = SerialVectorEnv([Asked] * 2)
    vec.reset(seed=0)
    vec.step(np.array([2, 1]))
    assert [(type(env.unwrapped.got[0]), env.unwrapped.got) for env in vec.envs] == [(np.int64, [2]), (np.int64, [1])]
