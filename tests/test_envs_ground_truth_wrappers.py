"""Ground truth as Gymnasium wrappers: objects as observations."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.wrappers import PassiveEnvChecker

from envs.config import EnvConfig
from envs.factory import make_env, make_vec
from envs.fingerprint import fingerprint
from envs.ground_truth.registry import game_of
from envs.ground_truth.state_reader import MAX_VELOCITY
from envs.ground_truth.wrappers import ObjectObservation, object_view

PONG = game_of("Pong")


def test_objects_as_observation_keep_gymnasium_s_contract() -> None:
    episodes = []
    for _ in range(2):
        env = PassiveEnvChecker(ObjectObservation(gym.make("ALE/Pong-v5", frameskip=1), frame_skip=4, noop_max=30))
        obs, _ = env.reset(seed=7)
        env.action_space.seed(7)
        episodes.append([obs])
        for _ in range(100):
            obs, *_ = env.step(env.action_space.sample())
            assert obs in env.observation_space
            episodes[-1].append(obs)
        env.close()
    np.testing.assert_array_equal(*episodes)
    assert len(np.unique(episodes[0], axis=0)) > 80


@pytest.mark.slow
@pytest.mark.parametrize("name", ["Pong", "Breakout"])
def test_vector_and_single_environments_see_the_same_objects(name: str) -> None:
    config = EnvConfig(observe="objects", sticky=0.0, noop_max=0)
    view = object_view(config)
    single, vec = make_env(name, config, observe=view), make_vec(name, 2, config, observe=view)
    obs, _ = single.reset(seed=3)
    many, _ = vec.reset(seed=3)
    assert many.dtype == np.float32
    for action in (1, 2, 3, 2, 2) * 8:
        np.testing.assert_array_equal(obs, many[0])
        obs, reward, *_ = single.step(action)
        many, rewards, *_ = vec.step(np.array([action, action]))
        assert reward == rewards[0]
    single.close()
    vec.close()


def test_a_task_seen_as_objects_has_its_own_fingerprint() -> None:
    config = EnvConfig(observe="objects")
    pixels, objects = fingerprint("ALE/Pong-v5", EnvConfig()), fingerprint("ALE/Pong-v5", config, object_view(config))
    assert pixels.hash != objects.hash and objects.text.endswith("seen as objects")
    assert "observe" not in pixels.fields, "scores recorded before stay comparable"


def test_a_paddle_that_moves_every_second_frame_has_its_speed_in_every_observation() -> None:
    env = ObjectObservation(gym.make("ALE/Pong-v5", frameskip=1, repeat_action_probability=0.0), frame_skip=4)
    y, velocity = (env.names.index(name) for name in ("player_y", "player_y_velocity"))
    height = np.diff(PONG.ranges["player_y"])[0] / 2
    for parity in range(2):  # whether the last frame of a step is one in which paddles move
        obs, _ = env.reset(seed=parity)
        for _ in range(parity):
            env.env.step(0)
        assert obs[velocity] == 0
        speeds = []
        for step in range(24):
            before = obs[y]
            obs, *_ = env.step(2 if step % 12 < 6 else 3)
            assert obs[velocity] == pytest.approx((obs[y] - before) * height / 4 / MAX_VELOCITY, abs=1e-5)
            speeds.append(obs[velocity])
        assert np.count_nonzero(speeds) > 12
