"""The reference's environments: truncations, lives, points and unclipped returns."""

from __future__ import annotations

import numpy as np
import odd_envs
import pytest

from agents.reference.learner_env import LearnerEnv
from agents.reference.vec_env import LearnerVecEnv
from agents.training.env_runner import EnvStepError
from envs.config import EnvConfig

OLD_PROTOCOL = EnvConfig(sticky=0.0, noop_max=0, fire_reset=False, clip_rewards=False)


def adapter(name: str, num_envs: int = 1, world: EnvConfig = EnvConfig()) -> LearnerVecEnv:
    return LearnerVecEnv(LearnerEnv(name, num_envs, world))


def test_more_copies_than_can_be_reset_together_are_refused_with_their_number() -> None:
    words = r"vector step 0 of 3 copies: its reset raised OSError: .* 2 licenses; 2 copies could be \(--num-envs 2\)$"
    with odd_envs.registered(licenses=2) as name, pytest.raises(EnvStepError, match=words):
        LearnerEnv(name, 3, EnvConfig())


@pytest.mark.parametrize(("method", "words"), [("step", "step 1 of 2 copies: it"), ("reset", "step 0 .*: its reset")])
def test_an_environment_that_calls_sys_exit_is_named(method: str, words: str) -> None:
    named = pytest.raises(EnvStepError, match=f"environment test/Odd-v0, vector {words} raised SystemExit$")
    with odd_envs.registered(exits=method) as name, named:
        env = LearnerEnv(name, 2, EnvConfig())
        env.reset(1)
        for _ in range(2):
            env.step(np.zeros(2, np.int64))


def test_a_game_cut_by_its_frame_limit_is_a_truncation_with_its_own_last_frame() -> None:
    cut = adapter("PongNoFrameskip-v4", 1, EnvConfig(noop_max=0, max_episode_frames=80, fire_reset=False))
    whole = adapter("PongNoFrameskip-v4", 1, EnvConfig(noop_max=0, fire_reset=False))
    for env in (cut, whole):
        env.seed(1)
        env.reset()
    for step in range(1, 21):
        action = np.array([step % 6])
        obs, _, done, infos = cut.step(action)
        expected = whole.step(action)[0]
        assert bool(done[0]) == (step == 20)
    assert infos[0]["TimeLimit.truncated"] is True and infos[0]["episode"]["l"] == 20
    # ale-py stops before it draws the frame in which a game ends, so the newest frame of the stack is a stale one.
    np.testing.assert_array_equal(infos[0]["terminal_observation"][:3], expected[0, :3])
    assert (obs[0, :3] == 0).all()  # the next game has begun: one frame, zeros before it


def test_lost_lives_end_learning_but_not_the_game_and_returns_are_not_clipped() -> None:
    world = EnvConfig(sticky=0.0, noop_max=0, episodic_life=True)
    env, plain = adapter("MsPacman", 1, world), LearnerEnv("MsPacman", 1, OLD_PROTOCOL)
    env.seed(0)
    env.reset()
    plain.reset(0)
    rng = np.random.default_rng(0)
    lost, total = 0, 0.0
    for _ in range(1_500):
        action = rng.integers(9, size=1)
        obs, reward, done, infos = env.step(action)
        _, unclipped, ended, _ = plain.step(action)
        total += float(unclipped[0])
        assert reward[0] == np.clip(unclipped[0], -1, 1)
        if ended[0]:
            break
        if done[0]:
            lost += 1
            assert "episode" not in infos[0] and infos[0]["TimeLimit.truncated"] is False
            np.testing.assert_array_equal(infos[0]["terminal_observation"], obs[0])
    assert lost == 2 and done[0]
    assert infos[0]["episode"]["r"] == total == env.learner_env.episodes[0].episodic_return > 100


def test_a_point_in_the_step_that_cuts_the_game_short_is_no_time_limit() -> None:
    told = {}
    for asked in (True, False):
        world = EnvConfig(sticky=0.0, noop_max=0, image_size=42, max_episode_frames=256, episodic_points=asked)
        env = adapter("Pong", 1, world)
        env.seed(0)
        env.reset()
        for _ in range(64):
            _, reward, done, infos = env.step(np.array([0]))
        assert reward[0] == -1 and done[0] and infos[0]["episode"]["l"] == 64  # nobody moved, so the first is lost
        told[asked] = infos[0]["TimeLimit.truncated"]
    assert told == {True: False, False: True}


def test_points_end_learning_but_not_the_game() -> None:
    env = adapter("Pong", 1, EnvConfig(episodic_points=True, image_size=42))
    env.seed(0)
    env.reset()
    rng = np.random.default_rng(0)
    points = 0
    for _ in range(2_000):
        obs, reward, done, infos = env.step(rng.integers(6, size=1))
        assert done[0] == (reward[0] != 0)
        points += int(done[0])
        if "episode" in infos[0]:
            break
        if done[0]:
            np.testing.assert_array_equal(infos[0]["terminal_observation"], obs[0])
    assert points >= 21 and infos[0]["episode"]["r"] <= -15
