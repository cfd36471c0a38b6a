"""Standard actions: whatever an agent chooses, the environment is sent a member of its own action space."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from small_envs import Tiny, registered

from envs.actions import standard_actions
from envs.factory import UnusableEnvError, make_env, make_vec

INT64 = np.iinfo(np.int64)


def sent(space: spaces.Space[Any], *actions: Any) -> list[Any]:
    """What an environment with this action space receives; its `step` asserts that each is a member."""
    env = standard_actions(Tiny(spaces.Discrete(2), space))
    env.reset(seed=0)
    for action in actions:
        env.step(action)
    own: Any = env.unwrapped
    return own.actions


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.int64])
def test_an_index_has_the_type_and_the_first_action_of_the_space(dtype: Any) -> None:
    space = spaces.Discrete(3, start=7, dtype=dtype)
    found = sent(space, np.int64(0), 2)
    assert found == [7, 9] and all(type(action) is dtype for action in found)
    assert standard_actions(Tiny(spaces.Discrete(2), space)).action_space == spaces.Discrete(3)


def test_what_agents_choose_from_already_is_left_as_it_is() -> None:
    for space in (spaces.Discrete(3), spaces.Box(-1, 1, (2,), np.float32), spaces.Tuple((spaces.Discrete(2),))):
        env = Tiny(spaces.Discrete(2), space)
        assert standard_actions(env) is env


def test_several_choices_have_the_shape_type_and_first_values_of_the_space() -> None:
    space = spaces.MultiDiscrete([[3, 2], [4, 250]], dtype=np.int16, start=[[-5, 0], [1, 30_000]])
    (low, high) = sent(space, np.zeros(4, np.int64), np.array([2, 1, 3, 249]))
    assert low.tolist() == [[-5, 0], [1, 30_000]] and high.tolist() == [[-3, 1], [4, 30_249]]
    assert low.dtype == np.int16
    assert standard_actions(Tiny(spaces.Discrete(2), space)).action_space == spaces.MultiDiscrete([3, 2, 4, 250])


def test_switches_have_the_shape_and_type_of_the_space() -> None:
    found = sent(spaces.MultiBinary([2, 3]), np.array([0, 1, 1, 0, 0, 1]), np.array([1.0] * 6, np.float32))
    assert found[0].tolist() == [[0, 1, 1], [0, 0, 1]] and found[0].dtype == np.int8
    assert found[1].tolist() == [[1, 1, 1], [1, 1, 1]]


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_numbers_have_the_type_of_the_space(dtype: Any) -> None:
    space = spaces.Box(-0.3, 0.7, (2,), dtype)
    (action,) = sent(space, np.array([-0.25, 0.5], np.float32))
    assert action.dtype == dtype and action.tolist() == [-0.25, 0.5]
    bounds = sent(space, space.low.copy(), space.high.copy())
    np.testing.assert_array_equal(bounds, [space.low, space.high])


def test_a_number_without_axes_is_an_array_all_the_same() -> None:
    (action,) = sent(spaces.Box(-1, 1, (), np.float32), np.float32(0.5))
    assert isinstance(action, np.ndarray) and action.shape == ()


@pytest.mark.parametrize(
    ("space", "chosen", "expected"),
    [
        (spaces.Box(-2, 5, (2,), np.int8), [-2.0, 4.6], [-2, 5]),
        (spaces.Box(0, 255, (2,), np.uint8), [254.4, 255.0], [254, 255]),
        (spaces.Box(INT64.min, INT64.max, (2,), np.int64), [-(2.0**63), 2.0**63], [INT64.min, INT64.max]),
    ],
    ids=["int8", "uint8", "int64"],
)
def test_numbers_for_integers_are_rounded(space: spaces.Box, chosen: list[float], expected: list[int]) -> None:
    (action,) = sent(space, np.array(chosen))
    assert action.tolist() == expected and action.dtype == space.dtype
    standard: Any = standard_actions(Tiny(spaces.Discrete(2), space)).action_space
    assert standard.dtype == np.float64 and (standard.low == space.low.astype(float)).all()


def test_an_action_without_entries_is_refused_by_name() -> None:
    for space in (spaces.Box(-1, 1, (0,), np.float32), spaces.MultiDiscrete(np.zeros(0, np.int64))):
        with (
            registered(space=spaces.Discrete(2), actions=space) as name,
            pytest.raises(UnusableEnvError, match=r"test/Tiny-v0.*has no entries"),
        ):
            make_vec(name, 1)


SPACES = [
    spaces.Discrete(3, start=-1, dtype=np.int8),
    spaces.MultiDiscrete([3, 2], start=[1, -1], dtype=np.int8),
    spaces.MultiBinary([2, 2]),
    spaces.Box(-3, 3, (2,), np.int8),
    spaces.Box(-1, 1, (2, 2), np.float16),
]


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_random_actions_reach_single_and_vector_environments_alike(space: spaces.Space[Any]) -> None:
    with registered(space=spaces.Discrete(2), actions=space) as name:
        vec, env = make_vec(name, 2), make_env(name)
        assert vec.single_action_space == env.action_space
        vec.action_space.seed(1)
        vec.reset(seed=1)
        env.reset(seed=1)
        for _ in range(4):
            actions = vec.action_space.sample()
            vec.step(actions)
            env.step(actions[0])
        copies: Any = vec
        np.testing.assert_array_equal(copies.envs[0].unwrapped.actions, env.unwrapped.actions)  # type: ignore[attr-defined]
        vec.close()
        env.close()
