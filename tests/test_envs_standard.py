"""The standard view: vectors and stacks of pixels, whatever the observation space is."""

from __future__ import annotations

from typing import Any

import cv2
import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium import wrappers as w
from small_envs import Tiny, Words, registered

from envs.config import EnvConfig
from envs.factory import make_env, make_vec
from envs.fingerprint import fingerprint
from envs.registration import UnusableEnvError
from envs.standard import standard_view

FLOAT_MAX = float(np.finfo(np.float64).max)


def test_parts_of_an_observation_without_numbers_are_left_out() -> None:
    space = spaces.Dict({"mission": Words(), "speed": spaces.Box(0, 1, (2,)), "turn": spaces.Discrete(4)})
    env = standard_view(Tiny(space), EnvConfig())
    obs, _ = env.reset(seed=0)
    assert obs.shape == (6,) and obs in env.observation_space


MANY = spaces.MultiDiscrete([3, 4])


@pytest.mark.parametrize(
    ("space", "known", "unknown"),
    [
        (spaces.Discrete(5), np.array([4]), -1),
        (spaces.Discrete(5, start=7), 11, 6),
        (spaces.Discrete(5), True, 2.0),
        (MANY, [2, 3], [3, 0]),
        (MANY, np.array([0, 0], np.uint8), np.array([0, -1])),
        (spaces.Dict(a=spaces.Tuple([spaces.Discrete(2), MANY])), {"a": (1, [0, 3])}, {"a": (1, [0, 4])}),
        (spaces.Tuple([spaces.Box(-1, 1, (2,)), spaces.Discrete(2)]), (np.zeros(2), 1), (np.zeros(2), -2)),
    ],
)
def test_an_index_outside_its_space_is_refused_and_stands_for_no_other(
    space: spaces.Space[Any], known: Any, unknown: Any
) -> None:
    def view(observation: Any) -> gym.Env[Any, Any]:
        env = gym.make("CartPole-v1", disable_env_checker=True)
        return standard_view(w.TransformObservation(env, lambda obs: observation, space), EnvConfig())

    assert view(known).reset()[0].dtype == np.float32
    with pytest.raises(ValueError, match=r"an observation holds .*, its space is (Multi)?Discrete"):
        view(unknown).reset()


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
        (spaces.Box(0, 255, (7, 7, 3), np.uint8), 147),  # too small for an image
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
        gray = make_vec(name, 1, EnvConfig(frame_stack=3))
        assert gray.reset(seed=1)[0].shape == (1, 3, 84, 84)


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


def image(*shape: int, high: int = 255) -> spaces.Box:
    return spaces.Box(0, high, shape, np.uint8)


SPEED = spaces.Box(-1, 1, (2,), np.float32)


@pytest.mark.parametrize(
    ("space", "shape", "reading"),
    [
        (SPEED, (2,), "a vector of 2 numbers"),
        (
            image(7, 7, 3),
            (147,),
            "a vector of 147 numbers, flattened from (7, 7, 3) uint8, no picture by its shape or its bounds",
        ),
        (
            spaces.Dict(direction=spaces.Discrete(4), image=image(7, 7, 3), mission=Words()),
            (151,),
            "a vector of 151 numbers (direction, image); left out: mission",
        ),
        (image(96, 96, 3), (4, 84, 84), "a picture of 96x96 of 3 channels, in gray, scaled to 84x84, 4 in a stack"),
        (image(40, 50), (4, 84, 84), "a picture of 40x50, scaled to 84x84, 4 in a stack"),
        (image(40, 50, 4), (16, 84, 84), "a picture of 40x50 of 4 channels, scaled to 84x84, 4 in a stack"),
        (
            image(9, 100, 110),
            (36, 84, 84),
            "a picture of 100x110 of 9 channels (its first axis), scaled to 84x84, 4 in a stack",
        ),
        (
            spaces.Box(0, 1, (10, 10, 4), np.bool_),
            (16, 10, 10),
            "a picture of 10x10 of 4 channels, in its own size, 0 to 1 as bytes, 4 in a stack",
        ),
        (
            spaces.Dict(camera=image(3, 64, 64), speed=SPEED),
            (4, 84, 84),
            "camera: a picture of 64x64 of 3 channels (its first axis), in gray, scaled to 84x84, 4 in a stack;"
            " left out: speed",
        ),
        (
            spaces.Dict(inner=spaces.Dict(camera=image(64, 64), words=Words()), mission=Words()),
            (4, 84, 84),
            "inner: camera: a picture of 64x64, scaled to 84x84, 4 in a stack; left out: words; left out: mission",
        ),
        (
            spaces.Tuple((image(64, 64), SPEED)),
            (4, 84, 84),
            "0: a picture of 64x64, scaled to 84x84, 4 in a stack; left out: 1",
        ),
        (spaces.Dict(left=image(40, 40), right=image(40, 40)), (3200,), "a vector of 3200 numbers (left, right)"),
        (spaces.Dict(cells=image(10, 10, 2), speed=SPEED), (202,), "a vector of 202 numbers (cells, speed)"),
        (
            spaces.Dict(cells=image(10, 10, 2)),
            (8, 10, 10),
            "cells: a picture of 10x10 of 2 channels, in its own size, 4 in a stack",
        ),
    ],
    ids=str,
)
def test_what_an_observation_is_read_as_is_said(space: spaces.Space[Any], shape: tuple[int, ...], reading: str) -> None:
    with registered(space=space) as name:
        vec, task = make_vec(name, 2), fingerprint(name, EnvConfig())
        assert vec.reset(seed=1)[0].shape == (2, *shape) == (2, *(vec.single_observation_space.shape or ()))
        vec.step(np.array([0, 1]))
        vec.close()
    assert task.reading == reading


@pytest.mark.parametrize("grayscale", [True, False])
def test_channels_first_are_the_same_pixels_as_channels_last(grayscale: bool) -> None:
    last, first = image(40, 50, 3), image(3, 40, 50)
    pictures = np.random.default_rng(0).integers(256, size=(3, 40, 50, 3), dtype=np.uint8)
    shown = []
    for space in (last, first, spaces.Dict(camera=first, speed=SPEED)):
        env = Tiny(space)
        view = standard_view(env, EnvConfig(grayscale=grayscale, image_size=40, frame_stack=2))
        given = iter(pictures)

        def sample(*_: Any, space: Any = space, given: Any = given) -> Any:
            picture = next(given)
            picture = picture if space is last else np.moveaxis(picture, -1, 0)
            return {"camera": picture, "speed": np.zeros(2, np.float32)} if isinstance(space, spaces.Dict) else picture

        space.sample = sample  # type: ignore[method-assign]
        shown.append([view.reset()[0], view.step(0)[0], view.step(0)[0]])
    np.testing.assert_array_equal(shown[0], shown[1])
    np.testing.assert_array_equal(shown[0], shown[2])


def test_many_channels_are_scaled_one_by_one() -> None:
    space = image(50, 40, 6)
    space.seed(1)
    picture = space.sample()
    space.sample = lambda *_: picture  # type: ignore[method-assign]
    view = standard_view(Tiny(space), EnvConfig(image_size=36, frame_stack=1))
    expected = [
        cv2.resize(np.ascontiguousarray(picture[..., k]), (36, 36), interpolation=cv2.INTER_AREA) for k in range(6)
    ]
    np.testing.assert_array_equal(view.reset()[0], np.stack(expected))


@pytest.mark.parametrize(
    "space",
    [
        spaces.Box(0, 1, (0,)),
        spaces.Box(0, 255, (0, 40, 3), np.uint8),
        spaces.Box(0, 1, (3, 0)),
        spaces.Dict(),
        spaces.Tuple(()),
        spaces.Dict(a=spaces.Dict(), b=spaces.Tuple((spaces.Dict(),))),
        spaces.Dict(mission=Words()),
        Words(),
        spaces.Text(5),
        spaces.Dict(mission=spaces.Text(5), inner=spaces.Tuple((spaces.Text(2),))),
    ],
    ids=str,
)
def test_observations_without_a_number_are_refused(space: spaces.Space[Any]) -> None:
    with pytest.raises(ValueError, match=r"its observations .* hold no numbers"):
        standard_view(Tiny(space), EnvConfig())


def test_parts_without_a_number_are_left_out() -> None:
    space = spaces.Dict(speed=SPEED, none=spaces.Box(0, 1, (0,)), empty=spaces.Tuple(()), turn=spaces.Discrete(2))
    view = standard_view(Tiny(space), EnvConfig())
    assert view.reset(seed=0)[0].shape == (4,)
    assert view.reading == "a vector of 4 numbers (speed, turn); left out: none, empty"


def test_text_is_left_out_and_a_part_that_holds_some() -> None:
    inner = spaces.Dict(says=spaces.Text(3), at=SPEED)
    view = standard_view(Tiny(spaces.Dict(speed=SPEED, told=spaces.Text(9), turn=spaces.Discrete(2))), EnvConfig())
    assert view.reset(seed=0)[0].shape == (4,)
    assert view.reading == "a vector of 4 numbers (speed, turn); left out: told"
    view = standard_view(Tiny(spaces.Dict(inner=inner, mission=spaces.Text(9))), EnvConfig())
    assert view.reading == "inner: at: a vector of 2 numbers; left out: says; left out: mission"
    view = standard_view(Tiny(spaces.Dict(inner=inner, speed=SPEED, turn=spaces.Discrete(2))), EnvConfig())
    assert view.reading == "a vector of 4 numbers (speed, turn); left out: inner"


def test_an_observation_of_no_entries_is_refused_in_one_line() -> None:
    refused = pytest.raises(UnusableEnvError, match=r"'test/Tiny-v0' cannot be made: .* hold no numbers")
    with registered(space=spaces.Box(0, 1, (0,))) as name, refused as caught:
        make_vec(name, 1)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "space",
    [spaces.Sequence(spaces.Discrete(3)), spaces.OneOf((SPEED, spaces.Discrete(3))), spaces.Graph(SPEED, None)],
    ids=lambda space: type(space).__name__,
)
def test_observations_that_fit_no_vector_are_refused_by_name(space: spaces.Space[Any]) -> None:
    for given in (space, spaces.Dict(a=space, b=SPEED)):
        refused = pytest.raises(ValueError, match=rf"test/Tiny-v0.*{type(space).__name__}.* cannot be flattened")
        with registered(space=given) as name, refused:
            make_vec(name, 1)
