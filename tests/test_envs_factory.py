"""The pipeline of worlds, against Gymnasium's own wrappers frame by frame, and against what the settings promise."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import scipy.stats
from gymnasium import spaces
from gymnasium.vector import AutoresetMode

from envs import names
from envs.atari import fire_reset_of, sticky_of
from envs.config import EnvConfig
from envs.factory import make_env, make_vec
from envs.standard import standard_view

# What ale-py's vector env and Gymnasium's wrappers agree on: no randomness of their own.
PLAIN: dict[str, Any] = {"sticky": 0.0, "noop_max": 0, "fire_reset": False}


# ---- ale-py's vector env against Gymnasium's AtariPreprocessing and FrameStackObservation


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("Pong", {}),  # a whole game
        ("Breakout", {}),  # a whole game
        ("Breakout", {"grayscale": False}),  # a whole game
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
    chance = np.random.default_rng(4)
    (obs, _), (expected, _) = vec.reset(seed=1), env.reset(seed=1)
    np.testing.assert_array_equal(obs[0], expected)
    over, steps, moved, total = False, 0, 0, 0.0
    while not over:
        before = obs
        action = int(chance.integers(vec.single_action_space.n))
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


def test_no_maximum_over_two_frames_is_another_picture() -> None:
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
    chance = np.random.default_rng(0)
    rewards = [float(vec.step(chance.integers(9, size=1))[1][0]) for _ in range(200)]
    assert max(rewards) >= 10.0
    vec.close()


# ---- seeds, autoreset, threads


def play(vec: Any, seed: int, steps: int) -> tuple[np.ndarray, ...]:
    """Observations, rewards and ends of `steps` vector steps; the actions depend on nothing."""
    chance = np.random.default_rng(0)
    first, _ = vec.reset(seed=seed)
    found = [(first, np.zeros(len(first)), np.zeros(len(first), bool), np.zeros(len(first), bool))]
    for _ in range(steps):
        obs, reward, terminated, truncated, _ = vec.step(chance.integers(vec.single_action_space.n, size=vec.num_envs))
        found.append((obs, reward, terminated, truncated))
    return tuple(np.stack(column) for column in zip(*found, strict=True))


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


# ---- sticky actions, action sets, starts


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
        pictures = [vec.step(np.array([0]))[0] for _ in range(12)]
        ball_moves.append(any((a != b).any() for a, b in itertools.pairwise(pictures[2:])))
        vec.close()
    assert ball_moves == [False, True]
    with pytest.raises(ValueError, match=r"cannot begin its games with FIRE here: add --world\.fire-reset False"):
        make_env("PongNoFrameskip-v4")


@pytest.mark.parametrize(
    "wrong",
    [{"sticky": 1.0}, {"sticky": -0.1}, {"frame_skip": 0}, {"image_size": 0}, {"frame_stack": 0}, {"noop_max": -1}],
    ids=str,
)
def test_settings_that_cannot_be_are_refused_by_name(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=rf"world\.{next(iter(wrong))} must"):
        EnvConfig(**wrong)


# ---- every other world


# Box2D's C module gives Python warnings while it is imported; as errors they would end the process.
@pytest.mark.filterwarnings("ignore:builtin type:DeprecationWarning")
@pytest.mark.parametrize(
    "name", [name for name in names.CLASSIC if name not in ("HalfCheetah", "Hopper", "Walker2d", "Ant")]
)
def test_every_classic_world_steps(name: str) -> None:
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


class Tiny(gym.Env[Any, Any]):
    """Shows whatever its space is, counts its steps, and lasts five."""

    metadata = {"render_modes": []}

    def __init__(self, space: spaces.Space[Any], actions: spaces.Space[Any] | None = None) -> None:
        self.observation_space = space
        self.action_space = spaces.Discrete(3) if actions is None else actions
        self.seen: list[Any] = []

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
        self.steps = 0
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(action), action
        self.seen.append(action)
        self.steps += 1
        return self.observation_space.sample(), 1.0, self.steps >= 5, False, {}


class Words(spaces.Space[str]):
    """A kind of space that Gymnasium cannot flatten, like MiniGrid's missions."""

    def sample(self, mask: Any = None, probability: Any = None) -> str:
        return "open the door"

    def contains(self, x: Any) -> bool:
        return isinstance(x, str)


def test_parts_of_an_observation_without_numbers_are_left_out() -> None:
    space = spaces.Dict({"mission": Words(), "speed": spaces.Box(0, 1, (2,)), "turn": spaces.Discrete(4)})
    env = standard_view(Tiny(space), EnvConfig())
    obs, _ = env.reset(seed=0)
    assert obs.shape == (6,) and obs in env.observation_space


@contextmanager
def registered(**kwargs: Any) -> Iterator[str]:
    gym.register("test/Tiny-v0", entry_point=f"{__name__}:Tiny", kwargs=kwargs)
    try:
        yield "test/Tiny-v0"
    finally:
        gym.registry.pop("test/Tiny-v0")


FLOAT_MAX = float(np.finfo(np.float64).max)


@pytest.mark.parametrize(
    ("space", "width"),
    [
        (spaces.Discrete(4, start=2), 4),
        (spaces.MultiDiscrete([3, 2]), 5),
        (spaces.MultiBinary(3), 3),
        (spaces.Box(-1, 1, (3,), np.float32), 3),
        (spaces.Box(-1, 1, (), np.float32), 1),
        (spaces.Box(-1, 1, (2, 3), np.float64), 6),
        (spaces.Box(0, 255, (128,), np.uint8), 128),  # the memory of a machine, no picture
        (spaces.Box(0, 255, (7, 7, 3), np.uint8), 147),  # too small for a picture
        (spaces.Box(np.array([-FLOAT_MAX, 0.0]), np.array([FLOAT_MAX, 1.0]), dtype=np.float64), 2),
        (spaces.Dict(a=spaces.Discrete(3), b=spaces.Box(-1, 1, (2, 2), np.float64)), 7),
        (spaces.Tuple((spaces.Box(0, 1, (3,)), spaces.Discrete(2))), 5),
    ],
    ids=str,
)
def test_what_is_no_picture_becomes_a_float_vector(space: spaces.Space[Any], width: int) -> None:
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
def test_a_picture_is_scaled_stacked_and_put_channels_first(shape: tuple[int, ...], channels: int) -> None:
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
            picture = np.asarray(raw.step(0)[0]).reshape(40, 50, channels)
            # Rows keep their number: means over columns survive the scaling of the width, to rounding.
            expected = picture.mean(axis=1).T  # (C, 40)
            np.testing.assert_allclose(obs[0, -channels:].mean(axis=2), expected, atol=1.5)
        grey = make_vec(name, 1, EnvConfig(frame_stack=3))
        assert grey.reset(seed=1)[0].shape == (1, 3, 84, 84)


@pytest.mark.filterwarnings("ignore:.*WARN:UserWarning")  # Gymnasium's own checker warns first
def test_a_picture_of_another_size_than_promised_is_refused_and_not_scaled(monkeypatch: pytest.MonkeyPatch) -> None:
    with registered(space=spaces.Box(0, 255, (40, 50, 3), np.uint8)) as name:
        vec = make_vec(name, 1)
        vec.reset(seed=1)
        monkeypatch.setattr(Tiny, "step", lambda *_: (np.zeros((40, 51, 3), np.uint8), 1.0, False, False, {}))
        with pytest.raises(ValueError, match=r"shape \(40, 51, 3\), promised \(40, 50, 3\)"):
            vec.step(np.array([0]))


def test_the_frames_of_a_picture_move_through_the_stack_oldest_first() -> None:
    with registered(space=spaces.Box(0, 255, (40, 40, 3), np.uint8)) as name:
        vec = make_vec(name, 1, EnvConfig(grayscale=False, image_size=40, frame_stack=3))
        raw = gym.make(name)
        frames = [np.zeros((40, 40, 3), np.uint8)] * 2 + [raw.reset(seed=5)[0]]
        obs, _ = vec.reset(seed=5)
        for _ in range(4):
            np.testing.assert_array_equal(obs[0], np.concatenate([f.transpose(2, 0, 1) for f in frames[-3:]]))
            obs, *_ = vec.step(np.array([0]))
            frames.append(raw.step(0)[0])


def test_actions_count_from_zero_wherever_the_worlds_own_begin() -> None:
    with registered(space=spaces.Discrete(2), actions=spaces.Discrete(3, start=-1)) as name:
        vec = make_vec(name, 3)
        assert vec.single_action_space == spaces.Discrete(3)
        vec.reset(seed=1)
        vec.step(np.array([0, 1, 2]))
        envs: Any = vec
        assert [env.unwrapped.seen for env in envs.envs] == [[-1], [0], [1]]


def test_observations_that_fit_no_vector_are_refused_by_name() -> None:
    with (
        registered(space=spaces.Sequence(spaces.Discrete(3))) as name,
        pytest.raises(ValueError, match=r"test/Tiny-v0.*Sequence"),
    ):
        make_vec(name, 1)


def test_a_world_that_cannot_be_drawn_can_be_made() -> None:
    with registered(space=spaces.Discrete(2)) as name:
        assert make_env(name).render_mode is None
    assert make_env("CartPole").render_mode == "rgb_array"


@pytest.mark.parametrize(("cap", "last"), [(9, True), (10, False)])
def test_a_world_without_a_limit_of_its_own_ends_all_the_same(cap: int, last: bool) -> None:
    vec = make_vec("CliffWalking-v1", 2, EnvConfig(max_episode_frames=cap))
    vec.reset(seed=1)
    truncated = [vec.step(np.zeros(2, dtype=np.int64))[3].all() for _ in range(9)]  # up, against the wall
    assert truncated == [False] * 8 + [last]
    own = make_vec("CartPole", 1, EnvConfig(max_episode_frames=1))  # brings 500 steps of its own
    own.reset(seed=1)
    assert not own.step(np.array([0]))[3].any()


@pytest.mark.parametrize("name", ["CartPole", "Pong"])
def test_a_seed_makes_two_vector_worlds_the_same(name: str) -> None:
    shown = []
    for seed in (7, 7, 8):
        vec = make_vec(name, 2, seed=seed)
        vec.reset()
        shown.append([vec.step(vec.action_space.sample())[0].copy() for _ in range(12)])
        vec.close()
    np.testing.assert_array_equal(shown[0], shown[1])
    assert not np.array_equal(shown[0], shown[2])


def test_a_users_own_module_is_a_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
