"""Stepping environments: what the learner sees and what is reported, where errors occur, continuation, evaluation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import counting_envs
import gymnasium as gym
import numpy as np
import odd_envs
import pytest
import torch
from counting_envs import actions_of, assert_same_step
from odd_envs import Odd

from agents.rl.replay import Replay
from agents.training.env_runner import EnvStepError, VectorEnvRunner
from envs.config import EnvConfig
from envs.factory import make_vec
from rl_gen_lab.cli.errors import UserError
from rl_gen_lab.compute.seeding import Generators


@pytest.fixture(autouse=True)
def _environments() -> Iterator[None]:
    with counting_envs.registered():
        yield


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
        rollout = VectorEnvRunner("ALE/MsPacman-v5", 1, world, Generators(1))
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
        rollout = VectorEnvRunner("ALE/Breakout-v5", 1, world, Generators(1))
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
        rollout = VectorEnvRunner("ALE/Pong-v5", 1, world, Generators(1))
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
    rollout = VectorEnvRunner("CartPole-v1", 1, EnvConfig(episodic_points=True), Generators(1))
    for _ in range(5):
        step, _ = rollout.step(np.array([0]))
        assert step.reward[0] == 1.0 and not step.value_ends[0]
    rollout.close()


def test_what_another_environment_calls_lives_is_none_of_the_learners_business() -> None:
    with odd_envs.registered(infos=True) as name:  # two players' lives
        rollout = VectorEnvRunner(name, 2, EnvConfig(episodic_life=True), Generators(1))
        for _ in range(9):
            step, _ = rollout.step(np.zeros(2, np.int64))
            assert not step.value_ends.any()
        rollout.close()
        rollout.close()  # as a run does that closes its environments before its last evaluation


@pytest.mark.slow
@pytest.mark.parametrize("fire", [False, True])
def test_stacks_built_from_remembered_frames_are_the_stacks_that_the_world_showed(fire: bool) -> None:
    world = EnvConfig(max_episode_frames=160, fire_reset=fire, image_size=42, frame_stack=4, grayscale=not fire)
    channels = 1 if world.grayscale else 3
    rollout = VectorEnvRunner("ALE/Breakout-v5", 2, world, Generators(2))
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


# ---- environments that break their word


def register_bad(bad: str, at: int) -> str:
    gym.register("test/Bad-v0", entry_point="counting_envs:Counter", kwargs={"bad": bad, "at": at})
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


def test_more_copies_than_can_be_reset_together_are_refused_with_their_number() -> None:
    words = r"vector step 0 of 3 copies: its reset raised OSError: .* 2 licenses; 2 copies could be \(--num-envs 2\)$"
    with odd_envs.registered(licenses=2) as name, pytest.raises(EnvStepError, match=words):
        VectorEnvRunner(name, 3, EnvConfig(), Generators(1))


@pytest.mark.parametrize(("method", "words"), [("step", "step 1 of 2 copies: it"), ("reset", "step 0 .*: its reset")])
def test_an_environment_that_calls_sys_exit_is_named(method: str, words: str) -> None:
    with odd_envs.registered(exits=method) as name:
        with pytest.raises(EnvStepError, match=f"environment test/Odd-v0, vector {words} raised SystemExit$"):
            runner = VectorEnvRunner(name, 2, EnvConfig(), Generators(1))
            for _ in range(2):
                runner.step(np.zeros(2, np.int64))
        if method == "reset":
            assert not Odd.alive


def test_a_broken_reward_of_the_step_that_is_no_transition_does_not_matter() -> None:
    rollout = VectorEnvRunner(register_bad("nan reward", 9), 1, EnvConfig(), Generators(1))  # never reached
    assert sum(len(rollout.step(np.array([0]))[1]) for _ in range(10)) == 2


def test_receiving_needs_sending() -> None:
    rollout = VectorEnvRunner("CartPole-v1", 1, EnvConfig(), Generators(1))
    with pytest.raises(AssertionError, match="recv without send"):
        rollout.recv()


# ---- exact continuation


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "world"), [("ALE/Pong-v5", EnvConfig(max_episode_frames=120)), ("CartPole-v1", EnvConfig())]
)
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
    rollout = VectorEnvRunner("CartPole-v1", 2, EnvConfig(), Generators(5))
    rollout.step(np.array([0, 1]))
    rollout.restart()
    state = rollout.state_dict()
    restored = VectorEnvRunner("CartPole-v1", 2, EnvConfig(), Generators(5))
    restored.load_state_dict(state)
    np.testing.assert_array_equal(restored.obs, rollout.obs)
    assert restored.steps == 1


def test_every_restart_begins_other_games_and_the_first_step_after_it_is_a_first() -> None:
    rollout = VectorEnvRunner("CartPole-v1", 2, EnvConfig(), Generators(5))
    begun = [rollout.obs]
    for _ in range(3):
        rollout.step(np.array([0, 0]))
        rollout.restart()
        begun.append(rollout.obs)
    assert len({obs.tobytes() for obs in begun}) == 4
    step, _ = rollout.step(np.array([0, 0]))
    assert step.first.all()
    assert not step.dummy.any()
    assert not np.array_equal(begun[0], VectorEnvRunner("CartPole-v1", 2, EnvConfig(), Generators(6)).obs)


def test_a_restart_forgets_the_episodes_under_way() -> None:
    rollout = VectorEnvRunner("test/Counter-v0", 1, EnvConfig(), Generators(1))
    for _ in range(3):
        rollout.step(np.array([0]))
    rollout.restart()
    episodes = [e for _ in range(4) for e in rollout.step(np.array([0]))[1]]
    assert [(e.episodic_return, e.length) for e in episodes] == [(12.0, 4)]


def test_the_learner_may_keep_what_it_was_shown() -> None:
    rollout = VectorEnvRunner("ALE/Pong-v5", 1, EnvConfig(), Generators(1))
    step, _ = rollout.step(np.array([0]))
    kept, copy = step.next_obs, step.next_obs.copy()
    for _ in range(5):
        rollout.step(np.array([3]))
    np.testing.assert_array_equal(kept, copy)


# ---- evaluation


def zeros(obs: np.ndarray) -> np.ndarray:
    return np.zeros(len(obs), dtype=np.int64)


def test_the_worlds_of_a_rollout_reset_in_the_step_after_an_end() -> None:
    for name in ("ALE/Pong-v5", "CartPole-v1"):
        assert make_vec(name, 1).metadata["autoreset_mode"].value == "NextStep"
