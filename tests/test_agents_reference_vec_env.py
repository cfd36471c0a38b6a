"""The adapter against Stable-Baselines3's own vector environments and wrappers."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3.common.env_checker import check_env
from stable_baselines3.common.env_util import make_atari_env
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecFrameStack

from agents.reference.learner_env import LearnerEnv
from agents.reference.vec_env import LearnerVecEnv
from envs.config import EnvConfig
from envs.factory import make_env

SHORT = "ShortCartPole-v0"  # random play ends now by a fall, now by the time limit


@pytest.fixture(autouse=True, scope="module")
def _short_cart_pole() -> Any:
    gym.register(SHORT, "gymnasium.envs.classic_control:CartPoleEnv", max_episode_steps=14)
    yield
    del gym.registry[SHORT]


def adapter(name: str, num_envs: int = 1, world: EnvConfig = EnvConfig()) -> LearnerVecEnv:
    return LearnerVecEnv(LearnerEnv(name, num_envs, world))


@pytest.mark.parametrize("name", ["CartPole", "Pendulum", "Pong"])
def test_single_worlds_pass_sb3s_env_checker(name: str) -> None:
    env = make_env(name, EnvConfig(max_episode_frames=400))
    check_env(env, warn=False, skip_render_check=True)
    env.close()


def test_adapter_gives_what_sb3s_own_vector_env_gives() -> None:
    ours: VecEnv = adapter(SHORT, 3)
    theirs: VecEnv = DummyVecEnv([lambda: Monitor(make_env(SHORT))] * 3)
    rng = np.random.default_rng(0)
    for env in (ours, theirs):
        env.seed(5)
    np.testing.assert_array_equal(ours.reset(), theirs.reset())
    ends = {True: 0, False: 0}
    for _ in range(60):
        actions = rng.integers(2, size=3)
        (obs, reward, done, infos), expected = ours.step(actions), theirs.step(actions)
        for mine, other in zip((obs, reward, done), expected, strict=False):
            assert mine.dtype == np.asarray(other).dtype
            np.testing.assert_array_equal(mine, other)
        for info, other_info in zip(infos, expected[3], strict=True):
            assert info["TimeLimit.truncated"] is bool(other_info["TimeLimit.truncated"])
            assert ("terminal_observation" in info) == ("terminal_observation" in other_info)
            if "terminal_observation" in info:
                np.testing.assert_array_equal(info["terminal_observation"], other_info["terminal_observation"])
                assert info["episode"]["r"] == other_info["episode"]["r"]
                assert info["episode"]["l"] == other_info["episode"]["l"]
                ends[info["TimeLimit.truncated"]] += 1
    assert min(ends.values()) > 0  # both kinds of end were seen
    ours.close()


def test_adapter_keeps_the_vec_env_contract_on_pixels() -> None:
    env = adapter("Pong", 2)
    assert env.observation_space.shape == (4, 84, 84) and env.observation_space.dtype == np.uint8
    assert env.get_attr("render_mode") == [None, None] and env.env_is_wrapped(Monitor, [0]) == [False]
    env.seed(3)
    first = env.reset()
    again = adapter("Pong", 2)
    again.seed(3)
    np.testing.assert_array_equal(first, again.reset())
    obs, reward, done, infos = env.step(np.zeros(2, dtype=np.int64))
    assert obs.shape == (2, 4, 84, 84) and obs.dtype == np.uint8
    assert (reward.shape, reward.dtype, done.shape, done.dtype) == ((2,), np.float32, (2,), np.bool_)
    assert [type(info) for info in infos] == [dict, dict]
    with pytest.raises(NotImplementedError, match="no attributes of their own"):
        env.set_attr("x", 1)
    env.close()
    again.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("game", "skip", "steps", "same_pixels"),
    # SB3 takes the maximum of two frames in color and makes it gray, ALE the other way round: where a sprite of one
    # color flickers over another the two differ. In Boxing nothing does; at skip 1 there is no maximum.
    [("MsPacman", 4, 600, False), ("Boxing", 4, 250, True), ("MsPacman", 1, 250, True), ("Pong", 1, 250, True)],
)
def test_same_game_as_sb3s_make_atari_env(game: str, skip: int, steps: int, same_pixels: bool) -> None:
    env_id = f"{game}NoFrameskip-v4"
    wrappers = {"noop_max": 0, "frame_skip": skip, "terminal_on_life_loss": False, "clip_reward": False}
    theirs = VecFrameStack(make_atari_env(env_id, n_envs=1, seed=0, wrapper_kwargs=wrappers), 4)
    world = EnvConfig(sticky=0.0, frame_skip=skip, max_pool=skip > 1, noop_max=0, fire_reset=False, clip_rewards=False)
    ours = adapter(env_id, 1, world)
    first, other = ours.reset(), np.asarray(theirs.reset())
    # SB3 presses FIRE and then the next button at the start of games that know FIRE.
    pressed = [1, 2] if "FIRE" in theirs.unwrapped.envs[0].unwrapped.get_action_meanings() else []  # type: ignore[attr-defined]
    if not pressed:
        np.testing.assert_array_equal(first, np.moveaxis(other, -1, 1))
    for button in pressed:
        ours.step(np.array([button]))
    rng = np.random.default_rng(1)
    games = 0
    for step in range(steps):
        action = rng.integers(ours.action_space.n, size=1)  # type: ignore[attr-defined]
        obs, reward, done, infos = ours.step(action)
        expected = theirs.step(action)
        assert reward[0] == expected[1][0] and done[0] == expected[2][0]
        if done[0]:
            games += 1
            assert infos[0]["episode"]["r"] == expected[3][0]["episode"]["r"]
        if same_pixels and step >= 4:  # the stacks of the two start at different frames
            np.testing.assert_array_equal(obs, np.moveaxis(np.asarray(expected[0]), -1, 1))
    assert games > 0 or same_pixels
    ours.close()
    theirs.close()
