"""Registrations: every keyword of an id of a user's own reaches the environment, or is refused in one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ale_py
import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.envs.registration import WrapperSpec
from small_envs import PLAIN

from envs import names
from envs.config import EnvConfig
from envs.factory import make_env, make_vec
from envs.fingerprint import fingerprint
from envs.registration import UnusableEnvError

ATARI = "ale_py.env:AtariEnv"


@contextmanager
def own(entry_point: Any = ATARI, **registration: Any) -> Iterator[str]:
    """An id of a user's own, registered while the context is open."""
    gym.register("Own/World-v0", entry_point=entry_point, **registration)
    try:
        yield "Own/World-v0"
    finally:
        gym.registry.pop("Own/World-v0")


def frames(env_or_vec: Any, actions: list[int], copies: int | None) -> np.ndarray:
    """Observations of the first game of an environment, or of the first copy of a vector environment."""
    obs, _ = env_or_vec.reset(seed=3)
    shown = [obs if copies is None else obs[0]]
    for action in actions:
        obs, *_ = env_or_vec.step(action if copies is None else np.full(copies, action))
        shown.append(obs if copies is None else obs[0])
    env_or_vec.close()
    return np.stack(shown)


@pytest.mark.parametrize("entry_point", [ATARI, "ale_py:AtariEnv", ale_py.AtariEnv])
def test_an_atari_game_is_known_however_its_class_is_named(entry_point: Any) -> None:
    with own(entry_point, kwargs={"game": "pong"}) as name:
        assert names.is_atari(name)
    for other in ("ale_py.vector_env:AtariVectorEnv", "ale_py.env:NoSuchEnv", "ale_py.nowhere:AtariEnv"):
        with own(other) as name, pytest.raises(UnusableEnvError):
            assert not names.is_atari(name)
            make_vec(name, 1)


@pytest.mark.slow
@pytest.mark.parametrize("variant", [{"mode": 1}, {"difficulty": 3}])
def test_training_plays_the_mode_and_the_difficulty_that_the_film_shows(variant: dict[str, int]) -> None:
    actions, config = [2, 3, 2, 2, 3] * 12, EnvConfig(**(PLAIN | {"noop_max": 5}))
    with own(kwargs={"game": "pong"} | variant) as name:
        trained, filmed = frames(make_vec(name, 2, config), actions, 2), frames(make_env(name, config), actions, None)
        task = fingerprint(name, EnvConfig())
    with own(kwargs={"game": "pong"}) as name:
        usual, usual_task = frames(make_env(name, config), actions, None), fingerprint(name, EnvConfig())
    np.testing.assert_array_equal(trained, filmed)
    assert trained.shape == usual.shape and not np.array_equal(trained, usual)
    assert task.hash != usual_task.hash and variant.items() <= task.fields.items()
    ((word, number),) = variant.items()
    assert f" {word} {number} " in task.text


@pytest.mark.slow
@pytest.mark.parametrize("fire", [False, True])
def test_a_game_of_a_difficulty_begins_as_the_usual_one_does(fire: bool) -> None:
    def begun(**variant: int) -> set[int]:
        with own(kwargs={"game": "pong", "repeat_action_probability": 0.0} | variant) as name:
            vec = make_vec(name, 4, EnvConfig(noop_max=4, fire_reset=fire, frame_skip=1, max_episode_frames=8))
            _, info = vec.reset(seed=5)
            numbers, over = info["episode_frame_number"].tolist(), np.zeros(4, bool)
            for _ in range(90):
                _, _, terminated, truncated, info = vec.step(np.zeros(4, np.int64))
                numbers += info["episode_frame_number"][over].tolist()
                over = terminated | truncated
            vec.close()
        return set(numbers)

    assert begun(difficulty=0) == begun() == ({1, 2, 3} if fire else {0, 1, 2, 3})


def test_settings_of_a_registration_are_those_of_training_film_and_fingerprint() -> None:
    words = {"game": "breakout", "frameskip": 8, "full_action_space": True, "max_num_frames_per_episode": 80}
    config = EnvConfig(**PLAIN)
    with own(
        kwargs=words | {"repeat_action_probability": 0.5, "obs_type": "grayscale", "render_mode": "human"}
    ) as name:
        vec, env, task = make_vec(name, 1, config), make_env(name, config), fingerprint(name, EnvConfig())
        assert vec.single_action_space == env.action_space == spaces.Discrete(18)
        vec.reset(seed=1)
        env.reset(seed=1)
        ends = [(bool(vec.step(np.zeros(1, np.int64))[3][0]), env.step(0)[3]) for _ in range(10)]
        assert ends == [(False, False)] * 9 + [(True, True)]
        vec.close()
        other = fingerprint(name, EnvConfig(frame_skip=2, sticky=0.1, max_episode_frames=50))
    expected = {"frame_skip": 8, "full_action_space": True, "max_episode_frames": 80, "sticky": 0.5}
    assert expected.items() <= task.fields.items() and "skip 8" in task.text and "cap 80" in task.text
    assert {"frame_skip": 2, "max_episode_frames": 50, "sticky": 0.1}.items() <= other.fields.items()


@pytest.mark.parametrize("mode", [None, 1])
def test_the_time_limit_of_a_registration_counts_agent_steps(mode: int | None) -> None:
    with own(kwargs={"game": "pong", "mode": mode}, max_episode_steps=7) as name:
        vec, env = make_vec(name, 1, EnvConfig(**PLAIN)), make_env(name, EnvConfig(**PLAIN))
        vec.reset(seed=1)
        env.reset(seed=1)
        ends = [(bool(vec.step(np.zeros(1, np.int64))[3][0]), env.step(0)[3]) for _ in range(7)]
        vec.close()
    assert ends == [(False, False)] * 6 + [(True, True)]


@pytest.mark.parametrize("mode", [None, 1])
def test_a_continuous_joystick_is_the_same_in_training_and_film(mode: int | None) -> None:
    words = {"game": "pong", "continuous": True, "continuous_action_threshold": 0.8, "mode": mode}
    with own(kwargs=words) as name:
        config = EnvConfig(**PLAIN)
        vec, env, task = make_vec(name, 1, config), make_env(name, config), fingerprint(name, config)
        assert vec.single_action_space == env.action_space and isinstance(env.action_space, spaces.Box)
        assert task.fields["continuous_action_threshold"] == 0.8
        obs, expected = vec.reset(seed=1)[0][0], env.reset(seed=1)[0]
        moved = {0.7: 0, 1.0: 0}
        for strength in [0.7, 1.0] * 30:
            np.testing.assert_array_equal(obs, expected)
            action, before = np.array([strength, np.pi / 2, 0.0], np.float32), expected[:, :, 60:]
            obs, expected = vec.step(action[None])[0][0], env.step(action)[0]
            moved[strength] += int((before != expected[:, :, 60:]).any())
        vec.close()
        assert make_env(name, EnvConfig(fire_reset=False)).reset(seed=1)[0].shape == (
            4,
            84,
            84,
        )  # after up to 30 no-ops


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"frameskip": (2, 5)}, r"frameskip \(2, 5\), a random number of frames"),
        ({"obs_type": "ram"}, "obs_type 'ram', and agents read the screen"),
        ({"sound_obs": True}, "sound_obs, and agents do not hear"),
        ({"mod": 1}, "mod, which ale-py does not know"),
        ({"game": None}, "no game"),
        ({"game": "pongg"}, "cannot be made: .*pongg"),
        ({"mode": 77}, "Invalid game mode"),
        ({"difficulty": 77}, "Invalid difficulty"),
    ],
)
def test_what_cannot_hold_is_refused_in_one_line(words: dict[str, Any], message: str) -> None:
    config = EnvConfig(fire_reset=False)
    with own(kwargs={"game": "pong"} | words) as name:
        for make in (make_env, lambda of, config: make_vec(of, 1, config), fingerprint):
            with pytest.raises(UnusableEnvError, match=message) as caught:
                make(name, config)
            assert "Own/World-v0" in str(caught.value) and "\n" not in str(caught.value)


def test_wrappers_of_an_atari_registration_are_refused_and_those_of_others_hold() -> None:
    clip = WrapperSpec("ClipReward", "gymnasium.wrappers:ClipReward", {"min_reward": 0.25, "max_reward": 0.5})
    refused = pytest.raises(UnusableEnvError, match=r"wrappers \(ClipReward\)")
    with own(kwargs={"game": "pong"}, additional_wrappers=(clip,)) as name, refused:
        make_vec(name, 1)
    entry_point = "gymnasium.envs.classic_control:CartPoleEnv"
    with own(entry_point, additional_wrappers=(clip,), max_episode_steps=3) as name:
        vec = make_vec(name, 2)
        vec.reset(seed=1)
        steps = [vec.step(np.array([k % 2] * 2)) for k in range(3)]
        assert [step[1].tolist() for step in steps] == [[0.5, 0.5]] * 3
        assert [step[3].all() for step in steps] == [False, False, True]


def test_older_ids_of_a_random_frame_skip_name_those_that_have_none() -> None:
    with pytest.raises(UnusableEnvError, match=r"'Pong-v4' .* \*NoFrameskip-v4"):
        make_vec("Pong-v4", 1)
    make_vec("PongNoFrameskip-v4", 1).close()


class Keen(gym.Env[Any, Any]):
    """Takes keywords that Gymnasium's own functions have too."""

    observation_space, action_space = spaces.Box(0, 9, (3,), np.float32), spaces.Discrete(2)

    def __init__(self, num_envs: int = 0, max_episode_steps: int = 0, wrappers: int = 0) -> None:
        self.told = np.array([num_envs, max_episode_steps, wrappers], np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        return self.told, {}


def test_keywords_of_any_registration_reach_its_constructor_whatever_their_names() -> None:
    with own(Keen, kwargs={"num_envs": 5, "max_episode_steps": 6, "wrappers": 7}) as name:
        assert make_vec(name, 2).reset(seed=1)[0].tolist() == [[5, 6, 7]] * 2
        assert make_env(name).reset(seed=1)[0].tolist() == [5, 6, 7]
