"""Stepping worlds: what the learner sees and what is reported, errors that say where, continuation, evaluation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import scipy.stats
import torch
from gymnasium import spaces

from agents.rl.interfaces import Step
from agents.rl.replay import Replay
from agents.training.env_runner import EnvStepError, VectorEnvRunner
from agents.training.evaluate import Evaluation, evaluate
from envs.config import EnvConfig
from envs.factory import make_vec
from rl_gen_lab.cli.errors import UserError
from rl_gen_lab.compute.seeding import Generators


class Counter(gym.Env[Any, Any]):
    """Shows how many steps were taken; action 0 pays 3, action 1 pays -5; ends by itself after `length` steps.

    `bad`: what goes wrong at step `at` of an episode (0: at its reset).
    """

    metadata = {"render_modes": []}

    def __init__(self, length: int = 4, truncates: bool = False, bad: str = "", at: int = 3) -> None:
        self.observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float32)
        self.action_space = spaces.Discrete(2)
        self.length, self.truncates, self.bad, self.at = length, truncates, bad, at
        self.episode = -1

    def _observation(self) -> np.ndarray:
        if self.bad and self.steps == self.at:
            if self.bad == "raises":
                raise ZeroDivisionError("the physics exploded")
            if self.bad == "shape":
                return np.zeros(3, np.float32)
            if self.bad == "nan observation":
                return np.array([np.nan, 0.0], np.float32)
        return np.array([self.steps, self.episode], np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.steps = 0
        self.episode += 1
        return self._observation(), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
        self.steps += 1
        reward = -5.0 if action else 3.0
        if self.steps == self.at:
            reward = {"nan reward": np.nan, "infinite reward": -np.inf}.get(self.bad, reward)
        over = self.steps >= self.length
        return self._observation(), reward, over and not self.truncates, over and self.truncates, {}


class Lottery(gym.Env[Any, Any]):
    """Episodes of one to nine steps, longer ones rarer the longer; each step pays 1, or 2 for action 1."""

    observation_space = spaces.Box(0, 1, (1,), np.float32)
    action_space = spaces.Discrete(2)
    metadata = {"render_modes": []}

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.left = int(self.np_random.integers(1, 10))
        return np.zeros(1, np.float32), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
        self.left -= 1
        return np.zeros(1, np.float32), 1.0 + action, self.left == 0, False, {}


@pytest.fixture(autouse=True)
def _worlds() -> Iterator[None]:
    counter, lottery = f"{__name__}:Counter", f"{__name__}:Lottery"
    gym.register("test/Counter-v0", entry_point=counter)
    gym.register("test/Truncates-v0", entry_point=counter, kwargs={"truncates": True})
    gym.register("test/Lottery-v0", entry_point=lottery)
    yield
    for name in ("Counter", "Truncates", "Lottery", "Bad"):
        gym.registry.pop(f"test/{name}-v0", None)


def actions_of(rollout: VectorEnvRunner, chance: np.random.Generator) -> np.ndarray:
    space = rollout.action_space
    assert isinstance(space, spaces.Discrete)
    return chance.integers(space.n, size=rollout.num_envs)


def assert_same_step(one: Step, two: Step) -> None:
    for name in vars(one):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name), err_msg=name)


# ---- what a step says


@pytest.mark.parametrize(("name", "ending"), [("test/Counter-v0", "terminated"), ("test/Truncates-v0", "truncated")])
def test_an_episode_then_one_dummy_step_then_the_next_episode(name: str, ending: str) -> None:
    rollout = VectorEnvRunner(name, 2, EnvConfig(), Generators(1))
    steps, finished = zip(*(rollout.step(np.array([0, 1])) for _ in range(10)), strict=True)

    def column(field: str) -> list[Any]:
        return [getattr(step, field)[0].item() for step in steps]

    other = "truncated" if ending == "terminated" else "terminated"
    assert column(ending) == [False, False, False, True, False] * 2
    assert column(other) == [False] * 10
    assert column("dummy") == [False] * 4 + [True] + [False] * 4 + [True]
    assert column("first") == [True] + [False] * 4 + [True] + [False] * 4
    assert [step.obs[0, 0] for step in steps] == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4]
    assert [step.next_obs[0, 0] for step in steps] == [1, 2, 3, 4, 0, 1, 2, 3, 4, 0]
    assert [step.obs[0, 1] for step in steps] == [0] * 5 + [1] * 5  # the second episode's number
    assert [[(e.env, e.episodic_return, e.length) for e in episodes] for episodes in finished] == [
        [(0, 12.0, 4), (1, -20.0, 4)] if t in (3, 8) else [] for t in range(10)
    ]
    assert all(step.reward.dtype == np.float32 and step.reward.tolist() == [3.0, -5.0] for step in steps[:4])
    assert not any(step.value_ends.any() for step in steps)
    rollout.close()


def test_ale_rewards_are_clipped_for_the_learner_and_whole_in_the_reports() -> None:
    rewards: dict[bool, list[float]] = {True: [], False: []}
    returns: dict[bool, list[float]] = {True: [], False: []}
    for clip in (True, False):
        world = EnvConfig(max_episode_frames=4 * 250, frame_stack=1, image_size=42, clip_rewards=clip)
        rollout = VectorEnvRunner("MsPacman", 1, world, Generators(1))
        chance = np.random.default_rng(0)
        while not returns[clip]:
            step, finished = rollout.step(actions_of(rollout, chance))
            rewards[clip].append(float(step.reward[0]))
            returns[clip] += [episode.episodic_return for episode in finished]
        rollout.close()
    assert max(rewards[False]) >= 10.0
    assert rewards[True] == np.clip(rewards[False], -1, 1).tolist()
    assert returns[True] == returns[False] == [sum(rewards[False])]
    assert returns[True][0] > sum(rewards[True])


def test_a_lost_life_is_marked_without_ending_the_episode_and_only_when_asked() -> None:
    lost = {}
    for asked in (True, False):
        world = EnvConfig(episodic_life=asked, frame_stack=1, image_size=42, sticky=0.0)
        rollout = VectorEnvRunner("Breakout", 1, world, Generators(1))
        chance = np.random.default_rng(1)
        episodes: list[Any] = []
        marks = []
        while not episodes:
            step, episodes = rollout.step(actions_of(rollout, chance))
            marks.append((bool(step.value_ends[0]), bool(step.terminated[0])))
        after, _ = rollout.step(np.array([0]))
        assert not after.value_ends[0]  # the new game's five lives are no loss, nor a dummy step a transition
        lost[asked] = [mark[0] for mark in marks]
        assert [mark[1] for mark in marks] == [False] * (len(marks) - 1) + [True]
        rollout.close()
    assert sum(lost[True]) == 5
    assert len(lost[True]) == len(lost[False])
    assert not any(lost[False])


def test_a_point_ends_the_value_without_ending_the_game_and_only_when_asked() -> None:
    for asked in (True, False):
        world = EnvConfig(episodic_points=asked, frame_stack=1, image_size=42)
        rollout = VectorEnvRunner("Pong", 1, world, Generators(1))
        chance = np.random.default_rng(1)
        episodes: list[Any] = []
        points = []
        while not episodes:
            step, episodes = rollout.step(actions_of(rollout, chance))
            assert bool(step.value_ends[0]) == (asked and step.reward[0] != 0)
            points += [(float(step.reward[0]), bool(step.terminated[0]))] if step.reward[0] else []
        assert [ended for _, ended in points] == [False] * (len(points) - 1) + [True]
        assert len(points) >= 21 and episodes[0].episodic_return == sum(reward for reward, _ in points)
        rollout.close()


def test_points_end_no_value_in_worlds_without_an_emulator() -> None:
    rollout = VectorEnvRunner("CartPole", 1, EnvConfig(episodic_points=True), Generators(1))
    for _ in range(5):
        step, _ = rollout.step(np.array([0]))
        assert step.reward[0] == 1.0 and not step.value_ends[0]
    rollout.close()


@pytest.mark.parametrize("fire", [False, True])
def test_stacks_built_from_remembered_frames_are_the_stacks_that_the_world_showed(fire: bool) -> None:
    world = EnvConfig(max_episode_frames=160, fire_reset=fire, image_size=42, frame_stack=4, grayscale=not fire)
    channels = 1 if world.grayscale else 3
    rollout = VectorEnvRunner("Breakout", 2, world, Generators(2))
    replay = Replay(2 * 150, 2, (channels, 42, 42), torch.uint8, 4, torch.device("cpu"))
    chance = np.random.default_rng(0)
    shown = []
    for _ in range(150):
        step, _ = rollout.step(actions_of(rollout, chance))
        flags = (step.terminated, step.truncated, step.value_ends, step.first, step.dummy)
        newest = np.ascontiguousarray(step.obs[:, -channels:])
        replay.push(*map(torch.from_numpy, (newest, step.action, step.reward, *flags)))
        shown.append(step.obs)
    batch = replay.sample(1_000, 1, 0.99, torch.Generator().manual_seed(1))
    everything = torch.from_numpy(np.concatenate(shown))
    assert torch.equal(batch.obs_tm1, everything[batch.index])
    assert torch.equal(batch.obs_t, everything[batch.index + 2])
    assert len(set(batch.index.tolist())) > 250
    rollout.close()


# ---- worlds that break their word


def register_bad(bad: str, at: int) -> str:
    gym.register("test/Bad-v0", entry_point=f"{__name__}:Counter", kwargs={"bad": bad, "at": at})
    return "test/Bad-v0"


@pytest.mark.filterwarnings("ignore:.*WARN:UserWarning")  # Gymnasium's own checker may warn first
@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ("raises", "it raised ZeroDivisionError: the physics exploded"),
        ("shape", "shape"),
        ("nan observation", "an observation is not finite"),
        ("nan reward", "reward .*nan.* is not finite"),
        ("infinite reward", "reward .*inf.* is not finite"),
    ],
)
def test_a_broken_world_is_named_with_its_step(bad: str, words: str) -> None:
    rollout = VectorEnvRunner(register_bad(bad, 3), 2, EnvConfig(), Generators(1))
    for _ in range(2):
        rollout.step(np.array([0, 0]))
    with pytest.raises(
        EnvStepError, match=rf"(?s)environment test/Bad-v0, vector step 2 of 2 copies: .*{words}"
    ) as caught:
        rollout.step(np.array([0, 0]))
    assert isinstance(caught.value, UserError)


@pytest.mark.filterwarnings("ignore:.*WARN:UserWarning")
@pytest.mark.parametrize("bad", ["raises", "shape", "nan observation"])
def test_a_world_broken_at_its_reset_is_named(bad: str) -> None:
    with pytest.raises(EnvStepError, match="environment test/Bad-v0, vector step 0 of 2 copies"):
        VectorEnvRunner(register_bad(bad, 0), 2, EnvConfig(), Generators(1))


def test_a_broken_reward_of_the_step_that_is_no_transition_does_not_matter() -> None:
    rollout = VectorEnvRunner(register_bad("nan reward", 9), 1, EnvConfig(), Generators(1))  # never reached
    assert sum(len(rollout.step(np.array([0]))[1]) for _ in range(10)) == 2


def test_receiving_needs_sending() -> None:
    rollout = VectorEnvRunner("CartPole", 1, EnvConfig(), Generators(1))
    with pytest.raises(AssertionError, match="recv without send"):
        rollout.recv()


# ---- exact continuation


@pytest.mark.parametrize(("name", "world"), [("Pong", EnvConfig(max_episode_frames=120)), ("CartPole", EnvConfig())])
def test_a_loaded_rollout_goes_on_exactly_as_the_one_that_was_saved(name: str, world: EnvConfig) -> None:
    rollout = VectorEnvRunner(name, 2, world, Generators(5))
    chance = np.random.default_rng(0)
    for t in range(70):
        rollout.step(actions_of(rollout, chance))
        if t == 20:
            rollout.restart()
    state = rollout.state_dict()
    assert (state["restarts"], state["steps"], len(state["actions"])) == (1, 70, 49)
    plan = [actions_of(rollout, chance) for _ in range(60)]
    expected = [rollout.step(actions) for actions in plan]
    restored = VectorEnvRunner(name, 2, world, Generators(5))
    restored.step(plan[0])
    restored.load_state_dict(state)
    assert restored.steps == 70
    found = [restored.step(actions) for actions in plan]
    for (one, episodes), (two, others) in zip(expected, found, strict=True):
        assert_same_step(one, two)
        assert episodes == others
    assert sum(len(episodes) for _, episodes in expected) >= 2
    # Both are now in the same state again, and a restart leads both to the same new games.
    rollout.restart()
    restored.restart()
    np.testing.assert_array_equal(rollout.obs, restored.obs)
    for actions in plan[:5]:
        assert_same_step(rollout.step(actions)[0], restored.step(actions)[0])
    rollout.close()
    restored.close()


def test_a_state_taken_right_after_a_restart_can_be_loaded() -> None:
    rollout = VectorEnvRunner("CartPole", 2, EnvConfig(), Generators(5))
    rollout.step(np.array([0, 1]))
    rollout.restart()
    state = rollout.state_dict()
    restored = VectorEnvRunner("CartPole", 2, EnvConfig(), Generators(5))
    restored.load_state_dict(state)
    np.testing.assert_array_equal(restored.obs, rollout.obs)
    assert restored.steps == 1


def test_every_restart_begins_other_games_and_the_first_step_after_it_is_a_first() -> None:
    rollout = VectorEnvRunner("CartPole", 2, EnvConfig(), Generators(5))
    begun = [rollout.obs]
    for _ in range(3):
        rollout.step(np.array([0, 0]))
        rollout.restart()
        begun.append(rollout.obs)
    assert len({obs.tobytes() for obs in begun}) == 4
    step, _ = rollout.step(np.array([0, 0]))
    assert step.first.all()
    assert not step.dummy.any()
    assert not np.array_equal(begun[0], VectorEnvRunner("CartPole", 2, EnvConfig(), Generators(6)).obs)


def test_a_restart_forgets_the_episodes_under_way() -> None:
    rollout = VectorEnvRunner("test/Counter-v0", 1, EnvConfig(), Generators(1))
    for _ in range(3):
        rollout.step(np.array([0]))
    rollout.restart()
    episodes = [e for _ in range(4) for e in rollout.step(np.array([0]))[1]]
    assert [(e.episodic_return, e.length) for e in episodes] == [(12.0, 4)]


def test_the_learner_may_keep_what_it_was_shown() -> None:
    rollout = VectorEnvRunner("Pong", 1, EnvConfig(), Generators(1))
    step, _ = rollout.step(np.array([0]))
    kept, copy = step.next_obs, step.next_obs.copy()
    for _ in range(5):
        rollout.step(np.array([3]))
    np.testing.assert_array_equal(kept, copy)


# ---- evaluation


def zeros(obs: np.ndarray) -> np.ndarray:
    return np.zeros(len(obs), dtype=np.int64)


def test_evaluation_counts_whole_episodes_and_says_by_which_rules() -> None:
    found = evaluate("test/Counter-v0", EnvConfig(), zeros, 7, 3)
    assert found.returns == [12.0] * 7
    assert found.lengths == [4] * 7
    assert found.protocol == {"episodes": 7, "seed": 3, "epsilon": 0.0, "max_episode_frames": 108_000}
    assert evaluate("CartPole", EnvConfig(), zeros, 1, 3).protocol["max_episode_frames"] is None  # its own limit
    assert found.summary() == {
        "eval/return_mean": 12.0,
        "eval/return_std": 0.0,
        "eval/return_min": 12.0,
        "eval/return_max": 12.0,
        "eval/length_mean": 4.0,
        "eval/episodes": 7,
    }


def test_long_episodes_count_as_often_as_short_ones() -> None:
    """Lengths are uniform on 1 to 9, with mean 5; the first twenty episodes to end would have a mean near 3.

    The mean of a right evaluation of 1,200 episodes is further than 0.35 from 5 once in 300,000 seeds.
    """
    lengths = []
    for seed in range(60):
        found = evaluate("test/Lottery-v0", EnvConfig(), zeros, 20, seed)
        assert found.returns == [float(n) for n in found.lengths]
        lengths += found.lengths
    assert len(lengths) == 1_200
    assert abs(float(np.mean(lengths)) - 5.0) < 0.35
    assert len(evaluate("test/Lottery-v0", EnvConfig(), zeros, 25, 1).lengths) == 25


def test_each_copy_plays_the_same_number_of_episodes(monkeypatch: pytest.MonkeyPatch) -> None:
    from agents.training import evaluate as module

    counted: list[int] = []
    original = VectorEnvRunner._advance

    def count(self: VectorEnvRunner, *args: Any) -> Any:
        episodes = original(self, *args)
        counted.extend(e.env for e in episodes)
        return episodes

    monkeypatch.setattr(module, "MAX_EVALUATION_ENVS", 4)
    monkeypatch.setattr(VectorEnvRunner, "_advance", count)
    found = evaluate("test/Counter-v0", EnvConfig(), zeros, 12, 1)
    assert sorted(counted) == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert len(found.returns) == 12


def test_evaluation_is_the_same_for_a_seed_and_differs_between_seeds() -> None:
    def act(obs: np.ndarray) -> np.ndarray:
        return (obs[:, 2] > 0).astype(np.int64)

    one, two, other = (evaluate("CartPole", EnvConfig(), act, 6, seed, epsilon=0.2) for seed in (1, 1, 2))
    assert one == two
    assert one.returns != other.returns


def test_epsilon_one_is_random_play_and_epsilon_zero_never_asks_for_it() -> None:
    """Kolmogorov-Smirnov test of 300 episodes against plain random play: right code fails once in a million."""
    found = evaluate("CartPole", EnvConfig(), zeros, 300, 1, epsilon=1.0)
    env = gym.make("CartPole-v1")
    chance = np.random.default_rng(0)
    lengths = []
    for episode in range(300):
        env.reset(seed=episode)
        over, n = False, 0
        while not over:
            _, _, terminated, truncated, _ = env.step(int(chance.integers(2)))
            over, n = terminated or truncated, n + 1
        lengths.append(n)
    assert scipy.stats.ks_2samp(found.lengths, lengths).pvalue > 1e-6
    greedy = evaluate("CartPole", EnvConfig(), zeros, 300, 1)
    assert scipy.stats.ks_2samp(greedy.lengths, lengths).pvalue < 1e-6  # pushing left for ever falls in ten steps


def test_an_agent_with_a_memory_is_told_where_each_episode_begins() -> None:
    told: list[np.ndarray] = []
    shown: list[np.ndarray] = []

    def act(obs: np.ndarray) -> np.ndarray:
        shown.append(obs.copy())
        return zeros(obs)

    found = evaluate("CartPole", EnvConfig(), act, 6, 1, begin=lambda first: told.append(first.copy()))
    assert len(told) == len(shown)
    assert told[0].all()
    for i, length in enumerate(found.lengths):  # one episode in each copy, then the dummy step, then the next begins
        begins = [t for t in range(len(told)) if told[t][i]]
        assert begins[:2] == [0, length + 1][: len(begins)]


def test_epsilon_is_drawn_for_each_copy_and_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Binomial test of the share of random actions; right code fails it once in a million seeds."""
    taken: list[np.ndarray] = []
    original = VectorEnvRunner.step

    def record(self: VectorEnvRunner, actions: np.ndarray) -> Any:
        taken.append(actions.copy())
        return original(self, actions)

    monkeypatch.setattr(VectorEnvRunner, "step", record)
    evaluate("test/Counter-v0", EnvConfig(), zeros, 200, 1, epsilon=0.5)
    ones = np.stack(taken)  # a random action is 1 half of the time, the greedy one never
    assert ones.shape == (49, 20)
    assert scipy.stats.binomtest(int(ones.sum()), ones.size, 0.25).pvalue > 1e-6
    # One coin for all copies would leave half of the steps without any, one for all time half of the copies.
    assert (ones.sum(axis=1) == 0).mean() < 0.1
    assert (ones.sum(axis=0) == 0).mean() < 0.1


def test_evaluation_counts_unclipped_returns_and_leaves_the_training_worlds_alone() -> None:
    world = EnvConfig(max_episode_frames=100, noop_max=5)
    rollout, twin = (VectorEnvRunner("Pong", 1, world, Generators(9)) for _ in range(2))
    chance = np.random.default_rng(0)
    for t in range(30):
        if t == 10:
            done: list[int] = []
            found = evaluate("Pong", world, zeros, 2, 9, on_episode=done.append)
            assert max(found.lengths) <= 25
            assert found.protocol["max_episode_frames"] == 100
            assert done[-1] == 2
            assert evaluate("Pong", world, zeros, 2, 9) == found
        actions = actions_of(rollout, chance)
        assert_same_step(rollout.step(actions)[0], twin.step(actions)[0])
    for r in (rollout, twin):
        r.close()


def test_evaluation_plays_continuous_actions_and_closes_its_worlds_when_it_fails() -> None:
    found = evaluate("Pendulum", EnvConfig(), lambda obs: np.zeros((len(obs), 1), np.float32), 2, 1, epsilon=0.5)
    assert found.lengths == [200, 200]
    with pytest.raises(EnvStepError, match="test/Bad-v0, vector step 2"):
        evaluate(register_bad("nan reward", 3), EnvConfig(), zeros, 2, 1)


def test_the_record_of_an_evaluation_has_the_interquartile_mean() -> None:
    record = Evaluation([100.0, 1.0, 2.0, 3.0, -50.0, 4.0, 5.0, 6.0], [1] * 8, {"seed": 1}).to_dict()
    assert record["return_iqm"] == np.mean([2.0, 3.0, 4.0, 5.0])
    assert record["return_mean"] == 71 / 8
    assert record["returns"][0] == 100.0
    assert record["protocol"] == {"seed": 1}


def test_the_worlds_of_a_rollout_reset_in_the_step_after_an_end() -> None:
    for name in ("Pong", "CartPole"):
        assert make_vec(name, 1).metadata["autoreset_mode"].value == "NextStep"
