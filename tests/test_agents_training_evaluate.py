"""Scoring a policy: whole episodes, each copy alike, seeds and epsilon, unclipped returns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import counting_envs
import gymnasium as gym
import numpy as np
import odd_envs
import pytest
import scipy.stats
from counting_envs import actions_of, assert_same_step

from agents.training.env_runner import EnvStepError, VectorEnvRunner
from agents.training.evaluate import Evaluation, evaluate, long_episode
from envs.atari import UnusableEnvError
from envs.config import EnvConfig
from rl_gen_lab.compute.seeding import Generators


@pytest.fixture(autouse=True)
def _environments() -> Iterator[None]:
    with counting_envs.registered():
        yield


def register_bad(bad: str, at: int) -> str:
    gym.register("test/Bad-v0", entry_point="counting_envs:Counter", kwargs={"bad": bad, "at": at})
    return "test/Bad-v0"


def zeros(obs: np.ndarray) -> np.ndarray:
    return np.zeros(len(obs), dtype=np.int64)


def test_evaluation_counts_whole_episodes_and_says_by_which_rules() -> None:
    found = evaluate("test/Counter-v0", EnvConfig(), zeros, 7, 3)
    assert found.returns == [12.0] * 7
    assert found.lengths == [4] * 7
    assert found.protocol == {"episodes": 7, "seed": 3, "epsilon": 0.0, "max_episode_frames": 108_000}
    assert evaluate("CartPole-v1", EnvConfig(), zeros, 1, 3).protocol["max_episode_frames"] is None  # its own limit
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


def test_an_environment_of_one_copy_plays_its_episodes_one_after_another() -> None:
    with odd_envs.registered(alone=True) as name:
        found = evaluate(name, EnvConfig(), zeros, 3, 1)
        assert found.returns == [4.0] * 3 and odd_envs.Odd.alive == 0
        held = VectorEnvRunner(name, 1, EnvConfig(), Generators(1))
        with pytest.raises(UnusableEnvError, match="port 5005"):
            evaluate(name, EnvConfig(), zeros, 3, 1)
        held.close()


def test_copies_that_cannot_be_reset_together_play_in_one() -> None:
    with odd_envs.registered(licenses=2) as name:
        found = evaluate(name, EnvConfig(), zeros, 3, 1)
        assert found.returns == [4.0] * 3 and odd_envs.Odd.alive == 0
        held = VectorEnvRunner(name, 2, EnvConfig(), Generators(1))
        with pytest.raises(EnvStepError, match=r"no more than 2 licenses$"):
            evaluate(name, EnvConfig(), zeros, 3, 1)
        held.close()


def test_the_length_of_episodes_under_way_is_told_at_each_step() -> None:
    told: list[tuple[int, int]] = []
    evaluate("test/Counter-v0", EnvConfig(), zeros, 1, 3, on_step=lambda done, steps: told.append((done, steps)))
    assert told == [(0, 1), (0, 2), (0, 3), (1, 0)]


@pytest.mark.parametrize(
    ("name", "world", "said"),
    [
        ("test/Counter-v0", EnvConfig(max_episode_frames=9_000), "9,000, --world.max-episode-frames)"),
        ("CartPole-v1", EnvConfig(), "500)"),
        ("ALE/Pong-v5", EnvConfig(), "27,000, --world.max-episode-frames)"),
    ],
)
def test_a_long_episode_is_told_with_its_end(name: str, world: EnvConfig, said: str) -> None:
    assert long_episode(name, world, 1_999) == ""
    assert long_episode(name, world, 2_000) == f"the next is at step 2,000 (of at most {said}"


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

    one, two, other = (evaluate("CartPole-v1", EnvConfig(), act, 6, seed, epsilon=0.2) for seed in (1, 1, 2))
    assert one == two
    assert one.returns != other.returns


def test_epsilon_one_is_random_play_and_epsilon_zero_never_asks_for_it() -> None:
    """Kolmogorov-Smirnov test of 300 episodes against plain random play: right code fails once in a million."""
    found = evaluate("CartPole-v1", EnvConfig(), zeros, 300, 1, epsilon=1.0)
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
    greedy = evaluate("CartPole-v1", EnvConfig(), zeros, 300, 1)
    assert scipy.stats.ks_2samp(greedy.lengths, lengths).pvalue < 1e-6  # pushing left for ever falls in ten steps


def test_an_agent_with_a_memory_is_told_where_each_episode_begins() -> None:
    told: list[np.ndarray] = []
    shown: list[np.ndarray] = []

    def act(obs: np.ndarray) -> np.ndarray:
        shown.append(obs.copy())
        return zeros(obs)

    found = evaluate("CartPole-v1", EnvConfig(), act, 6, 1, begin=lambda first: told.append(first.copy()))
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


@pytest.mark.slow
def test_evaluation_counts_unclipped_returns_and_leaves_the_training_worlds_alone() -> None:
    world = EnvConfig(max_episode_frames=100, noop_max=5)
    rollout, twin = (VectorEnvRunner("ALE/Pong-v5", 1, world, Generators(9)) for _ in range(2))
    chance = np.random.default_rng(0)
    for t in range(30):
        if t == 10:
            done: list[int] = []
            found = evaluate("ALE/Pong-v5", world, zeros, 2, 9, on_episode=done.append)
            assert max(found.lengths) <= 25
            assert found.protocol["max_episode_frames"] == 100
            assert done[-1] == 2
            assert evaluate("ALE/Pong-v5", world, zeros, 2, 9) == found
        actions = actions_of(rollout, chance)
        assert_same_step(rollout.step(actions)[0], twin.step(actions)[0])
    for r in (rollout, twin):
        r.close()


def test_evaluation_plays_continuous_actions_and_closes_its_worlds_when_it_fails() -> None:
    found = evaluate("Pendulum-v1", EnvConfig(), lambda obs: np.zeros((len(obs), 1), np.float32), 2, 1, epsilon=0.5)
    assert found.lengths == [200, 200]
    with pytest.raises(EnvStepError, match="test/Bad-v0, vector step 2"):
        evaluate(register_bad("nan reward", 3), EnvConfig(), zeros, 2, 1)


def test_the_record_of_an_evaluation_has_the_interquartile_mean() -> None:
    record = Evaluation([100.0, 1.0, 2.0, 3.0, -50.0, 4.0, 5.0, 6.0], [1] * 8, {"seed": 1}).to_dict()
    assert record["return_iqm"] == np.mean([2.0, 3.0, 4.0, 5.0])
    assert record["return_mean"] == 71 / 8
    assert record["returns"][0] == 100.0
    assert record["protocol"] == {"seed": 1}
