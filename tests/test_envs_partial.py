"""Partially observed worlds: the same world underneath, with less to see."""

from __future__ import annotations

import gymnasium as gym
import numpy as np

from envs.factory import make_env, make_vec
from envs.probes.partially_observable import NO_VELOCITY


def test_cartpole_without_velocities_is_cartpole_with_two_numbers_shown() -> None:
    whole, part = gym.make("CartPole-v1"), gym.make(NO_VELOCITY)
    seen, less = whole.reset(seed=3)[0], part.reset(seed=3)[0]
    steps, over = 0, False
    while not over:
        assert np.array_equal(less, seen[[0, 2]])
        assert part.observation_space.contains(less)
        action = int(seen[2] + 0.3 * seen[3] > 0)  # keeps the pole up for long
        (seen, *one), (less, *two) = whole.step(action), part.step(action)
        assert one[:3] == two[:3]
        steps, over = steps + 1, one[1] or one[2]
    assert steps > 100


def test_it_can_be_drawn_and_stepped_as_vectors() -> None:
    env = make_env(NO_VELOCITY)
    env.reset(seed=1)
    assert np.asarray(env.render()).ndim == 3
    env.close()
    vec = make_vec(NO_VELOCITY, 3)
    assert vec.reset(seed=1)[0].shape == (3, 2)
    vec.close()
