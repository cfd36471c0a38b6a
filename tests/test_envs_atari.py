"""Atari games: ale-py's vector environment against Gymnasium's own wrappers, and what the settings promise."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy.stats
from gymnasium import spaces
from small_envs import PLAIN

from envs import names
from envs.atari import fire_reset_of, sticky_of
from envs.config import EnvConfig
from envs.factory import make_env, make_vec


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("Pong", {}),  # a complete game
        ("Breakout", {}),  # a complete game
        ("Breakout", {"grayscale": False}),  # a complete game
        ("Pong", {"grayscale": False, "image_size": 96, "frame_stack": 2, "max_episode_frames": 300}),
        ("Pong", {"image_size": 42, "frame_stack": 3, "max_episode_frames": 300}),
        ("Breakout", {"frame_stack": 1, "frame_skip": 1, "max_episode_frames": 100}),
        ("Breakout", {"frame_skip": 3, "max_episode_frames": 151}),
        ("Pong", {"max_pool": False, "max_episode_frames": 300}),
        ("PongNoFrameskip-v4", {"full_action_space": True, "max_episode_frames": 301}),
    ],
    ids=str,
)
def test_the_vector_env_shows_and_pays_what_gymnasiums_wrappers_do(name: str, settings: dict[str, Any]) -> None:
    config = EnvConfig(**(PLAIN | settings))
    vec, env = make_vec(name, 1, config), make_env(name, config)
    assert vec.single_observation_space == env.observation_space
    assert vec.single_action_space == env.action_space
    rng = np.random.default_rng(4)
    (obs, _), (expected, _) = vec.reset(seed=1), env.reset(seed=1)
    np.testing.assert_array_equal(obs[0], expected)
    over, steps, moved, total = False, 0, 0, 0.0
    while not over:
        before = obs
        action = int(rng.integers(vec.single_action_space.n))
        obs, reward, terminated, truncated, _ = vec.step(np.array([action]))
        expected, *outcome, _ = env.step(action)
        np.testing.assert_array_equal(obs[0], expected, err_msg=f"step {steps}")
        assert [float(reward[0]), bool(terminated[0]), bool(truncated[0])] == outcome, f"step {steps}"
        over = bool(terminated[0] or truncated[0])
        steps, moved, total = steps + 1, moved + int((obs != before).any()), total + float(reward[0])
    assert moved > 0.9 * steps
    if "max_episode_frames" in settings:
        assert truncated[0]
        assert steps == -(-config.max_episode_frames // config.frame_skip)
    else:
        assert terminated[0]
        assert steps > 100
    vec.close()
    env.close()


def test_no_maximum_over_two_frames_is_another_image() -> None:
    views = [make_env("Pong", EnvConfig(**PLAIN, max_pool=pool)) for pool in (True, False)]
    different = 0
    for view in views:
        view.reset(seed=1)
    for _ in range(40):
        one, two = (view.step(2)[0] for view in views)
        different += int((one != two).any())
        assert (np.asarray(one) >= np.asarray(two)).all() or different
    assert different > 20


def test_a_stack_begins_with_zeros_and_grows_frame_by_frame() -> None:
    vec = make_vec("Pong", 1, EnvConfig(frame_stack=4))
    obs, _ = vec.reset(seed=1)
    assert not obs[0, :3].any()
    assert obs[0, 3].any()
    following, *_ = vec.step(np.array([0]))
    np.testing.assert_array_equal(following[0, :3], obs[0, 1:])
    vec.close()


def test_rewards_are_never_clipped_and_games_of_many_points_show_it() -> None:
    vec = make_vec("MsPacman", 1, EnvConfig(**PLAIN))
    vec.reset(seed=0)
    rng = np.random.default_rng(0)
    rewards = [float(vec.step(rng.integers(9, size=1))[1][0]) for _ in range(200)]
    assert max(rewards) >= 10.0
    vec.close()


def share_that_never_moved(name: str, config: EnvConfig, trials: int) -> float:
    """How often one frame of UP among no-ops never reached the paddle, in games cut off after 10 frames."""
    copies = 4
    vec = make_vec(name, copies, replace(config, max_episode_frames=10))
    quiet = np.zeros(copies, dtype=np.int64)
    vec.reset(seed=1)
    last: list[np.ndarray] = []
    for trial in range(trials // copies + 2):
        for t in range(10):
            # Nothing is pressed in the first two rounds: they show a paddle at rest.
            obs, _, _, truncated, _ = vec.step(quiet + 2 * (t == 4 and trial >= 2))
        assert truncated.all()
        last.append(obs)
        vec.step(quiet)  # autoreset
    vec.close()
    still = last[0][0]
    assert (last[0] == still).all()
    assert (last[1] == still).all()
    return float(np.mean([(obs == still).all(axis=(1, 2, 3)) for obs in last[2:]]))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "probability", "trials"),
    [("Pong", 0.25, 120), ("PongNoFrameskip-v4", 0.0, 20)],
)
def test_the_emulator_repeats_the_action_before_as_often_as_said(name: str, probability: float, trials: int) -> None:
    """Binomial test; a right emulator fails it once in a million choices of the seed."""
    config = EnvConfig(noop_max=0, fire_reset=False, frame_skip=1, frame_stack=1)
    assert sticky_of(names.resolve(name), config) == probability
    share = share_that_never_moved(name, config, trials)
    if probability == 0.0:
        assert share == 0.0
    else:
        assert scipy.stats.binomtest(round(share * trials), trials, probability).pvalue > 1e-6
        # ... and the trials are enough to tell one setting from another.
        assert scipy.stats.binomtest(round(share * trials), trials, 0.5).pvalue < 1e-3


def test_minimal_and_full_action_sets() -> None:
    sizes = {}
    for name in ("Pong", "Breakout"):
        for full in (False, True):
            vec = make_vec(name, 1, EnvConfig(full_action_space=full))
            space = vec.single_action_space
            assert isinstance(space, spaces.Discrete)
            sizes[name, full] = int(space.n)
            vec.close()
    assert sizes == {("Pong", False): 6, ("Pong", True): 18, ("Breakout", False): 4, ("Breakout", True): 18}


def test_no_ops_at_the_start_are_random_and_at_most_as_many_as_said() -> None:
    vec = make_vec("Pong", 2, EnvConfig(sticky=0.0, noop_max=6, frame_skip=1, max_episode_frames=8))
    _, info = vec.reset(seed=1)
    frames = info["episode_frame_number"].tolist()
    over = np.zeros(2, dtype=bool)
    for _ in range(160):
        _, _, terminated, truncated, info = vec.step(np.zeros(2, dtype=np.int64))
        frames += info["episode_frame_number"][over].tolist()
        over = terminated | truncated
    assert len(frames) > 30  # one of six numbers is missed by 2% of seeds
    assert set(frames) == {0, 1, 2, 3, 4, 5}
    vec.close()


def test_fire_begins_a_game_of_the_older_ids_only() -> None:
    assert fire_reset_of("BreakoutNoFrameskip-v4", EnvConfig())
    assert not fire_reset_of("BreakoutNoFrameskip-v4", EnvConfig(fire_reset=False))
    assert not fire_reset_of("ALE/Breakout-v5", EnvConfig())
    assert not fire_reset_of("ale_py:ALE/Breakout-v5", EnvConfig())
    assert fire_reset_of("ALE/Breakout-v5", EnvConfig(fire_reset=True))
    ball_moves = []
    for fire in (False, True):
        vec = make_vec("Breakout", 1, EnvConfig(**(PLAIN | {"fire_reset": fire}), frame_stack=1))
        vec.reset(seed=1)
        images = [vec.step(np.array([0]))[0] for _ in range(12)]
        ball_moves.append(any((a != b).any() for a, b in itertools.pairwise(images[2:])))
        vec.close()
    assert ball_moves == [False, True]
    with pytest.raises(ValueError, match=r"cannot begin its games with FIRE here: add --world\.fire-reset False"):
        make_env("PongNoFrameskip-v4")
