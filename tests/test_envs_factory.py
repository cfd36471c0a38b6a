"""Environments of the factory: seeds, autoreset, time limits, and modules of a user's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import odd_envs
import pytest
from gymnasium import spaces
from gymnasium.error import DependencyNotInstalled
from gymnasium.vector import AutoresetMode
from small_envs import PLAIN, Tiny, registered

from envs import names
from envs.config import EnvConfig
from envs.factory import make_env, make_vec, unusable
from envs.registration import UnusableEnvError


def play(vec: Any, seed: int, steps: int) -> tuple[np.ndarray, ...]:
    """Observations, rewards and ends of `steps` vector steps; the actions depend on nothing."""
    rng = np.random.default_rng(0)
    first, _ = vec.reset(seed=seed)
    steps_taken = [(first, np.zeros(len(first)), np.zeros(len(first), bool), np.zeros(len(first), bool))]
    for _ in range(steps):
        obs, reward, terminated, truncated, _ = vec.step(rng.integers(vec.single_action_space.n, size=vec.num_envs))
        steps_taken.append((obs, reward, terminated, truncated))
    return tuple(np.stack(column) for column in zip(*steps_taken, strict=True))


@pytest.mark.parametrize(("name", "frames"), [("Pong", 100), ("CartPole", None)])
def test_a_seed_fixes_every_frame_across_autoresets(name: str, frames: int | None) -> None:
    config = EnvConfig() if frames is None else EnvConfig(max_episode_frames=frames)
    vec, twin = make_vec(name, 2, config), make_vec(name, 2, config, threads=2)
    one = play(vec, 7, 80)
    assert (one[2] | one[3]).sum() >= 4
    other = play(twin, 8, 80)
    # Seeding anew forgets what was played before, and threads change nothing.
    assert all(np.array_equal(a, b) for a, b in zip(one, play(twin, 7, 80), strict=True))
    assert not np.array_equal(one[0], other[0])
    assert not np.array_equal(one[0][:, 0], one[0][:, 1])  # copies differ from each other
    vec.close()
    twin.close()


@pytest.mark.parametrize("name", ["Pong", "CartPole"])
def test_next_step_autoreset_shows_the_true_last_observation_then_ignores_an_action(name: str) -> None:
    config = EnvConfig(**PLAIN, max_episode_frames=40)
    vec, alone = make_vec(name, 1, config), make_env(name, config)
    assert vec.metadata["autoreset_mode"] == AutoresetMode.NEXT_STEP
    vec.reset(seed=3)
    alone.reset(seed=3)
    for _ in range(60):
        obs, _, terminated, truncated, _ = vec.step(np.array([1]))
        last, *_ = alone.step(1)
        np.testing.assert_array_equal(obs[0], last)
        if terminated[0] or truncated[0]:
            break
    begun, reward, terminated, truncated, _ = vec.step(np.array([1]))
    fresh, _ = alone.reset()
    np.testing.assert_array_equal(begun[0], fresh)
    assert (float(reward[0]), bool(terminated[0]), bool(truncated[0])) == (0.0, False, False)
    following, *_ = vec.step(np.array([1]))
    np.testing.assert_array_equal(following[0], alone.step(1)[0])
    vec.close()
    alone.close()


@pytest.mark.parametrize("name", ["Pong", "CartPole"])
def test_same_step_autoreset_shows_the_new_episode_and_keeps_the_last_observation(name: str) -> None:
    config = EnvConfig(**PLAIN, max_episode_frames=40)
    vec = make_vec(name, 1, config, autoreset="same_step")
    later = make_vec(name, 1, config)
    assert vec.metadata["autoreset_mode"] == AutoresetMode.SAME_STEP
    vec.reset(seed=3)
    later.reset(seed=3)
    over = False
    while not over:
        obs, _, terminated, truncated, info = vec.step(np.array([1]))
        last, *_ = later.step(np.array([1]))
        over = bool(terminated[0] or truncated[0])
    np.testing.assert_array_equal(info["final_obs"][0], last[0])
    np.testing.assert_array_equal(obs[0], later.step(np.array([1]))[0][0])
    vec.close()
    later.close()


# Box2D's C module gives Python warnings while it is imported; as errors they would end the process.
@pytest.mark.filterwarnings("ignore:builtin type:DeprecationWarning")
@pytest.mark.parametrize(
    "name", [name for name in names.CLASSIC if name not in ("HalfCheetah", "Hopper", "Walker2d", "Ant")]
)
def test_every_classic_environment_steps(name: str) -> None:
    vec = make_vec(name, 2)
    obs, _ = vec.reset(seed=1)
    vec.action_space.seed(1)
    shape = vec.single_observation_space.shape
    assert shape is not None
    pixels = len(shape) == 3
    assert vec.single_observation_space.dtype == (np.uint8 if pixels else np.float32)
    for _ in range(5):
        assert obs.shape == (2, *shape)
        assert obs.dtype == vec.single_observation_space.dtype
        obs, reward, *_ = vec.step(vec.action_space.sample())
        assert reward.shape == (2,)
    vec.close()


@pytest.mark.filterwarnings("ignore:.*WARN:UserWarning")  # of Gymnasium's own checker
@pytest.mark.parametrize(
    "observes",
    [lambda steps: np.array([steps, 0.1, 0.0]), lambda steps: np.array([steps, 1, 0]), lambda steps: [steps, 1.0, 0]],
    ids=["float64", "int64", "list"],
)
def test_a_single_environment_observes_in_the_type_of_its_space_as_the_copies_of_a_vector_do(observes: Any) -> None:
    with odd_envs.registered(observes=observes) as name:
        alone, vec = make_env(name), make_vec(name, 1)
    seen = [alone.reset(seed=1)[0], alone.step(1)[0]]
    expected = [vec.reset(seed=1)[0][0], vec.step(np.array([1]))[0][0]]
    for one, other in zip(seen, expected, strict=True):
        assert one.dtype == other.dtype == np.float32
        np.testing.assert_array_equal(one, other)


def test_an_environment_that_cannot_be_drawn_can_be_made() -> None:
    with registered(space=spaces.Discrete(2)) as name:
        assert make_env(name).render_mode is None
    assert make_env("CartPole").render_mode == "rgb_array"


@pytest.mark.parametrize(("cap", "last"), [(9, True), (10, False)])
def test_an_environment_without_a_limit_of_its_own_ends_all_the_same(cap: int, last: bool) -> None:
    vec = make_vec("CliffWalking-v1", 2, EnvConfig(max_episode_frames=cap))
    vec.reset(seed=1)
    truncated = [vec.step(np.zeros(2, dtype=np.int64))[3].all() for _ in range(9)]  # up, against the wall
    assert truncated == [False] * 8 + [last]
    own = make_vec("CartPole", 1, EnvConfig(max_episode_frames=1))  # brings 500 steps of its own
    own.reset(seed=1)
    assert not own.step(np.array([0]))[3].any()


@pytest.mark.parametrize("name", ["CartPole", "Pong"])
def test_a_seed_makes_two_vector_environments_the_same(name: str) -> None:
    shown = []
    for seed in (7, 7, 8):
        vec = make_vec(name, 2, seed=seed)
        vec.reset()
        shown.append([vec.step(vec.action_space.sample())[0].copy() for _ in range(12)])
        vec.close()
    np.testing.assert_array_equal(shown[0], shown[1])
    assert not np.array_equal(shown[0], shown[2])


def test_a_users_own_module_is_an_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "module_of_a_world.py").write_text(
        "import gymnasium as gym\n"
        "gym.register('Mine-v3', entry_point='gymnasium.envs.classic_control:CartPoleEnv', max_episode_steps=7)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    try:
        vec = make_vec("module_of_a_world:Mine-v3", 2)
        obs, _ = vec.reset(seed=1)
        assert obs.shape == (2, 4)
        assert make_env("module_of_a_world:Mine-v3").reset(seed=1)[0].shape == (4,)
        truncated = [vec.step(np.array([k % 2, k % 2]))[3].all() for k in range(7)]
        assert truncated == [False] * 6 + [True]
    finally:
        gym.registry.pop("Mine-v3", None)


def test_objects_need_a_wrapper_that_says_what_is_seen() -> None:
    with pytest.raises(UnusableEnvError, match="needs a wrapper"):
        make_vec("Pong", 1, EnvConfig(observe="objects"))


def test_copies_that_cannot_step_together_are_no_question_of_their_number() -> None:
    sizes = iter((3, 4, 3))
    gym.register("test/Differs-v0", entry_point=lambda: Tiny(spaces.Box(-1, 1, (next(sizes),))))
    try:
        with pytest.raises(
            UnusableEnvError, match=r"in 2 copies at once, only each by itself \(--num-envs 1\): Runtime"
        ):
            make_vec("test/Differs-v0", 2)
        make_vec("test/Differs-v0", 1).close()
    finally:
        del gym.registry["test/Differs-v0"]


def test_a_missing_package_names_the_extra_of_this_project() -> None:
    missing = DependencyNotInstalled('MuJoCo is not installed, run `pip install "gymnasium[mujoco]"`')
    assert str(unusable("HalfCheetah", missing)).endswith('(here: pip install -c constraints.txt -e ".[mujoco]")')
    assert "here:" not in str(unusable("HalfCheetah", ValueError("MuJoCo says no")))
