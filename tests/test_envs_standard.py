"""The standard view: vectors and stacks of pixels, whatever the observation space is."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from small_envs import Tiny, Words, registered

from envs.config import EnvConfig
from envs.factory import make_env, make_vec
from envs.standard import standard_view

FLOAT_MAX = float(np.finfo(np.float64).max)


def test_parts_of_an_observation_without_numbers_are_left_out() -> None:
    space = spaces.Dict({"mission": Words(), "speed": spaces.Box(0, 1, (2,)), "turn": spaces.Discrete(4)})
    env = standard_view(Tiny(space), EnvConfig())
    obs, _ = env.reset(seed=0)
    assert obs.shape == (6,) and obs in env.observation_space


@pytest.mark.parametrize(
    ("space", "width"),
    [
        (spaces.Discrete(4, start=2), 4),
        (spaces.MultiDiscrete([3, 2]), 5),
        (spaces.MultiBinary(3), 3),
        (spaces.Box(-1, 1, (3,), np.float32), 3),
        (spaces.Box(-1, 1, (), np.float32), 1),
        (spaces.Box(-1, 1, (2, 3), np.float64), 6),
        (spaces.Box(0, 255, (128,), np.uint8), 128),  # the memory of a machine, no image
        (spaces.Box(0, 255, (7, 7, 3), np.uint8), 147),  # too small for a image
        (spaces.Box(np.array([-FLOAT_MAX, 0.0]), np.array([FLOAT_MAX, 1.0]), dtype=np.float64), 2),
        (spaces.Dict(a=spaces.Discrete(3), b=spaces.Box(-1, 1, (2, 2), np.float64)), 7),
        (spaces.Tuple((spaces.Box(0, 1, (3,)), spaces.Discrete(2))), 5),
    ],
    ids=str,
)
def test_any_other_observation_becomes_a_float_vector(space: spaces.Space[Any], width: int) -> None:
    if isinstance(space, spaces.Box) and space.dtype == np.float64 and FLOAT_MAX in space.high:
        space.sample = lambda *_: np.array([1.0, 0.5])  # type: ignore[method-assign]
    with registered(space=space) as name:
        vec = make_vec(name, 2)
        obs, _ = vec.reset(seed=1)
        assert obs.shape == (2, width) == (2, *(vec.single_observation_space.shape or ()))
        assert obs.dtype == vec.single_observation_space.dtype == np.float32
        direct = gym.make(name)
        raw, _ = direct.reset(seed=1)
        np.testing.assert_allclose(obs[0], np.asarray(spaces.flatten(space, raw), np.float32))
        vec.close()


def test_a_discrete_observation_is_one_hot() -> None:
    with registered(space=spaces.Discrete(4)) as name:
        obs, _ = make_vec(name, 8).reset(seed=1)
    assert (obs.sum(1) == 1).all()
    assert set(np.unique(obs)) == {0.0, 1.0}


@pytest.mark.parametrize(("shape", "channels"), [((40, 50, 3), 3), ((40, 50, 1), 1), ((40, 50), 1)])
def test_an_image_is_scaled_stacked_and_put_channels_first(shape: tuple[int, ...], channels: int) -> None:
    with registered(space=spaces.Box(0, 255, shape, np.uint8)) as name:
        config = EnvConfig(grayscale=False, image_size=40, frame_stack=2)
        vec, alone, raw = make_vec(name, 1, config), make_env(name, config), gym.make(name)
        obs, _ = vec.reset(seed=1)
        assert obs.shape == (1, 2 * channels, 40, 40) == (1, *(vec.single_observation_space.shape or ()))
        assert obs.dtype == np.uint8
        np.testing.assert_array_equal(obs[0], alone.reset(seed=1)[0])
        raw.reset(seed=1)
        for _ in range(3):
            obs, *_ = vec.step(np.array([0]))
            image = np.asarray(raw.step(0)[0]).reshape(40, 50, channels)
            # Rows keep their number: means over columns survive the scaling of the width, to rounding.
            expected = image.mean(axis=1).T  # (C, 40)
            np.testing.assert_allclose(obs[0, -channels:].mean(axis=2), expected, atol=1.5)
        grey = make_vec(name, 1, EnvConfig(frame_stack=3))
        assert grey.reset(seed=1)[0].shape == (1, 3, 84, 84)


@pytest.mark.filterwarnings("ignore:.*WARN:UserWarning")  # Gymnasium's own checker warns first
def test_an_image_of_another_size_than_its_space_is_refused_and_not_scaled(monkeypatch: pytest.MonkeyPatch) -> None:
    with registered(space=spaces.Box(0, 255, (40, 50, 3), np.uint8)) as name:
        vec = make_vec(name, 1)
        vec.reset(seed=1)
        monkeypatch.setattr(Tiny, "step", lambda *_: (np.zeros((40, 51, 3), np.uint8), 1.0, False, False, {}))
        with pytest.raises(ValueError, match=r"shape \(40, 51, 3\), its space \(40, 50, 3\)"):
            vec.step(np.array([0]))


def test_the_frames_of_an_image_move_through_the_stack_oldest_first() -> None:
    with registered(space=spaces.Box(0, 255, (40, 40, 3), np.uint8)) as name:
        vec = make_vec(name, 1, EnvConfig(grayscale=False, image_size=40, frame_stack=3))
        raw = gym.make(name)
        frames = [np.zeros((40, 40, 3), np.uint8)] * 2 + [raw.reset(seed=5)[0]]
        obs, _ = vec.reset(seed=5)
        for _ in range(4):
            np.testing.assert_array_equal(obs[0], np.concatenate([f.transpose(2, 0, 1) for f in frames[-3:]]))
            obs, *_ = vec.step(np.array([0]))
            frames.append(raw.step(0)[0])


def test_actions_count_from_zero_wherever_the_environments_own_begin() -> None:
    with registered(space=spaces.Discrete(2), actions=spaces.Discrete(3, start=-1)) as name:
        vec = make_vec(name, 3)
        assert vec.single_action_space == spaces.Discrete(3)
        vec.reset(seed=1)
        vec.step(np.array([0, 1, 2]))
        envs: Any = vec
        assert [env.unwrapped.actions for env in envs.envs] == [[-1], [0], [1]]


def test_observations_that_fit_no_vector_are_refused_by_name() -> None:
    with (
        registered(space=spaces.Sequence(spaces.Discrete(3))) as name,
        pytest.raises(ValueError, match=r"test/Tiny-v0.*Sequence"),
    ):
        make_vec(name, 1)
