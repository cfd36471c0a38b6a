"""The replay memory against a reference that keeps whole episodes in plain Python lists and forgets nothing."""

from __future__ import annotations

import copy
import random
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agents.rl.replay import Replay, ReplayTooLargeError
from rl_gen_lab.cli.errors import UserError
from rl_gen_lab.compute.memory_budget import free_bytes

CPU = torch.device("cpu")
CHECKOUT = Path(__file__).resolve().parent.parent


@dataclass
class EpisodeList:
    """An episode as it was played: one observation more than actions once its last one is known."""

    frames: list[np.ndarray] = field(default_factory=list)
    actions: list[int] = field(default_factory=list)
    rewards: list[float] = field(default_factory=list)
    value_ends: list[bool] = field(default_factory=list)
    terminated: bool = False
    over: bool = False  # by termination, truncation or cut


class Reference:
    """A random vector environment in NEXT_STEP autoreset, which feeds a replay memory and remembers every episode.

    `where[(t, e)]`: the episode and position of the transition that environment e made at vector step t; autoreset
    steps are absent.
    """

    def __init__(
        self, num_envs: int, frame_shape: tuple[int, ...], stack: int, seed: int, end: float, life: float, cut: float
    ) -> None:
        self.num_envs, self.frame_shape, self.stack = num_envs, frame_shape, stack
        self.chance = random.Random(seed)
        self.end, self.life, self.cut = end, life, cut
        self.episodes = [EpisodeList() for _ in range(num_envs)]
        self.first = [True] * num_envs
        self.dummy = [False] * num_envs
        self.where: dict[tuple[int, int], tuple[EpisodeList, int]] = {}
        self.time = 0
        self.serial = 0
        self.current = [self._new_frame() for _ in range(num_envs)]

    def _new_frame(self) -> np.ndarray:
        """A frame like no other, and unlike the zeros of an empty stack."""
        self.serial += 1
        size = int(np.prod(self.frame_shape))
        if len(self.frame_shape) == 1:
            return np.arange(size, dtype=np.float32) + self.serial * size
        bytes_ = [(self.serial >> (8 * (i % 3))) % 256 if i % 3 < 2 else 1 + i % 250 for i in range(size)]
        return np.array(bytes_, dtype=np.uint8).reshape(self.frame_shape)

    def step(self, *replays: Replay) -> None:
        """One vector step, pushed into `replays`."""
        n, chance = self.num_envs, self.chance
        actions = [chance.randrange(100) for _ in range(n)]
        rewards = [chance.randrange(-8, 9) / 4 for _ in range(n)]
        ends = [not self.dummy[e] and chance.random() < self.end for e in range(n)]
        terminated = [ends[e] and chance.random() < 0.5 for e in range(n)]
        truncated = [ends[e] and (not terminated[e] or chance.random() < 0.2) for e in range(n)]
        value_ends = [not self.dummy[e] and chance.random() < self.life for e in range(n)]
        for e in range(n):
            if self.dummy[e]:
                rewards[e], actions[e] = 777.0, 777  # must never be seen
        frame = torch.from_numpy(np.stack(self.current))
        flags = [torch.tensor(f) for f in (terminated, truncated, value_ends, self.first, self.dummy)]
        for replay in replays:
            replay.push(frame, torch.tensor(actions), torch.tensor(rewards), *flags)
        for e in range(n):
            following = self._new_frame()
            if self.dummy[e]:
                self.episodes[e] = EpisodeList()
            else:
                episode = self.episodes[e]
                episode.frames.append(self.current[e])
                episode.actions.append(actions[e])
                episode.rewards.append(rewards[e])
                episode.value_ends.append(value_ends[e])
                self.where[self.time, e] = (episode, len(episode.actions) - 1)
                if ends[e]:
                    episode.frames.append(following)
                    episode.terminated, episode.over = terminated[e], True
            self.current[e] = following
            self.first[e], self.dummy[e] = self.dummy[e], ends[e]
        self.time += 1

    def restart(self, *replays: Replay) -> None:
        """Cut every episode short and begin anew."""
        frame = torch.from_numpy(np.stack(self.current))
        for replay in replays:
            replay.cut(frame)
        for e, episode in enumerate(self.episodes):
            if not episode.over and episode.actions:
                episode.frames.append(self.current[e])
                episode.over = True
        self.episodes = [EpisodeList() for _ in range(self.num_envs)]
        self.current = [self._new_frame() for _ in range(self.num_envs)]
        self.first, self.dummy = [True] * self.num_envs, [False] * self.num_envs
        self.time += 1

    def play(self, steps: int, *replays: Replay) -> None:
        for _ in range(steps):
            if self.time and self.chance.random() < self.cut:
                self.restart(*replays)
            else:
                self.step(*replays)

    # ---- what a sample must be

    def samplable(self, replay: Replay, n_step: int) -> set[tuple[int, int]]:
        """Real transitions whose whole stack and whole n-step window are among the vector steps still held."""
        held = min(self.time, replay.length)
        oldest = self.time - held + (replay.frame_stack - 1 if held == replay.length else 0)
        return {(t, e) for t, e in self.where if t >= oldest and t + n_step <= self.time - 1}

    def locate(self, index: int, replay: Replay) -> tuple[int, int]:
        """(t, e) of a flat slot number: the latest vector step that was written there."""
        row, e = divmod(index, self.num_envs)
        return self.time - 1 - (self.time - 1 - row) % replay.length, e

    def observation(self, episode: EpisodeList, i: int) -> np.ndarray:
        if len(self.frame_shape) == 1:
            return episode.frames[i]
        blank = np.zeros(self.frame_shape, np.uint8)
        rows = [episode.frames[j] if j >= 0 else blank for j in range(i - self.stack + 1, i + 1)]
        return np.concatenate(rows)

    def transition(self, t: int, e: int, n_step: int, gamma: float) -> tuple[np.ndarray, int, float, float, np.ndarray]:
        """obs_tm1, action_tm1, reward_t, discount_t, obs_t, in float64 and by the book."""
        episode, i = self.where[t, e]
        total, discount, j = 0.0, 1.0, i
        for _ in range(n_step):
            total += discount * episode.rewards[j]
            discount *= gamma
            lost = episode.value_ends[j]
            j += 1
            last = episode.over and j == len(episode.actions)
            if lost or (last and episode.terminated):
                discount = 0.0
            if lost or last:
                break
        return self.observation(episode, i), episode.actions[i], total, discount, self.observation(episode, j)


@dataclass(frozen=True)
class Case:
    num_envs: int
    length: int
    frame_shape: tuple[int, ...]
    stack: int
    n_step: int
    steps: int
    seed: int
    end: float
    life: float
    cut: float

    def make(self, alpha: float = 0.0) -> tuple[Reference, Replay]:
        reference = Reference(self.num_envs, self.frame_shape, self.stack, self.seed, self.end, self.life, self.cut)
        dtype = torch.float32 if len(self.frame_shape) == 1 else torch.uint8
        # One slot short of a further vector step, which must be rounded down.
        capacity = self.length * self.num_envs + self.num_envs - 1
        return reference, Replay(capacity, self.num_envs, self.frame_shape, dtype, self.stack, CPU, alpha)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    vector = draw(st.booleans())
    stack = 1 if vector else draw(st.integers(1, 4))
    shape = (3,) if vector else draw(st.sampled_from([(1, 2, 3), (3, 2, 2)]))
    n_step = draw(st.integers(1, 5))
    return Case(
        num_envs=draw(st.integers(1, 4)),
        length=draw(st.integers(stack + n_step, 16)),
        frame_shape=shape,
        stack=stack,
        n_step=n_step,
        steps=draw(st.integers(1, 60)),
        seed=draw(st.integers(0, 2**31)),
        end=draw(st.sampled_from([0.0, 0.05, 0.2, 0.5, 1.0])),
        life=draw(st.sampled_from([0.0, 0.1, 0.5])),
        cut=draw(st.sampled_from([0.0, 0.1, 0.3])),
    )


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def assert_batch_equals_reference(
    reference: Reference, replay: Replay, n_step: int, gamma: float, batch_size: int, exact: bool
) -> set[tuple[int, int]]:
    """Every sampled item against the reference; returns which transitions were drawn with weight."""
    batch = replay.sample(batch_size, n_step, gamma, generator())
    assert len(batch.index) == batch_size
    # A slot drawn twice must look the same twice; then one look at each is enough.
    index = batch.index[batch.weight > 0].numpy()
    _, once, which = np.unique(index, return_index=True, return_inverse=True)
    for tensor in (batch.obs_tm1, batch.action_tm1, batch.reward_t, batch.discount_t, batch.obs_t):
        values = tensor[batch.weight > 0]
        assert torch.equal(values, values[once[which]])
    drawn = set()
    for k in torch.nonzero(batch.weight > 0).flatten()[once].tolist():
        place = reference.locate(int(batch.index[k]), replay)
        assert place in reference.where, f"autoreset step {place} drawn with weight {batch.weight[k]}"
        drawn.add(place)
        obs_tm1, action, reward, discount, obs_t = reference.transition(*place, n_step, gamma)
        np.testing.assert_array_equal(batch.obs_tm1[k].numpy(), obs_tm1)
        np.testing.assert_array_equal(batch.obs_t[k].numpy(), obs_t)
        assert batch.action_tm1[k] == action
        if exact:
            assert (float(batch.reward_t[k]), float(batch.discount_t[k])) == (reward, discount)
        else:
            np.testing.assert_allclose(float(batch.reward_t[k]), reward, rtol=2e-6, atol=2e-6)
            np.testing.assert_allclose(float(batch.discount_t[k]), discount, rtol=2e-6, atol=0)
    return drawn


def property_test(examples: int) -> settings:
    return settings(
        max_examples=examples, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
    )


@pytest.mark.slow
@property_test(100)
@given(case=cases(), alpha=st.sampled_from([0.0, 0.0, 0.6]))
def test_every_sample_equals_the_brute_force_reference_and_every_transition_is_sampled(
    case: Case, alpha: float
) -> None:
    reference, replay = case.make(alpha)
    reference.play(case.steps, replay)
    assert len(replay) == min(case.steps, case.length) * case.num_envs
    samplable = reference.samplable(replay, case.n_step)
    if not replay.can_sample(case.n_step):
        assert not samplable
        return
    if not samplable:  # complete windows, but all of them begin with autoreset steps
        return
    # A miss of one transition by 25 draws for each slot: 64 x exp(-25), under 1e-9.
    exact = assert_batch_equals_reference(reference, replay, case.n_step, 0.5, 25 * len(replay), exact=True)
    assert exact == samplable
    close = assert_batch_equals_reference(reference, replay, case.n_step, 0.99, 4 * len(replay), exact=False)
    assert close <= samplable


@property_test(40)
@given(case=cases())
def test_samples_stay_right_while_the_ring_turns(case: Case) -> None:
    reference, replay = case.make()
    for _ in range(4):
        reference.play(case.steps // 4 + 1, replay)
        if reference.samplable(replay, case.n_step):
            assert_batch_equals_reference(reference, replay, case.n_step, 0.5, 64, exact=True)


def one_env_replay(length: int = 20, stack: int = 1, alpha: float = 0.0) -> Replay:
    shape, dtype = ((1,), torch.float32) if stack == 1 else ((1, 1, 1), torch.uint8)
    return Replay(length, 1, shape, dtype, stack, CPU, alpha)


def push(replay: Replay, frame: float, reward: float = 0.0, **flags: bool) -> None:
    """One step of one environment; flags by name, action number equal to the frame."""
    tensors = [
        torch.tensor([flags.get(name, False)]) for name in ("terminated", "truncated", "value_ends", "first", "dummy")
    ]
    value = torch.full((1, *replay.frame_shape), frame).to(replay.frames.dtype)
    replay.push(value, torch.tensor([int(frame)]), torch.tensor([reward]), *tensors)


def sampled(replay: Replay, frame: int, n_step: int, gamma: float = 0.5) -> tuple[float, float, list[float]]:
    """(reward_t, discount_t, obs_t) of the transition that began at `frame`."""
    batch = replay.sample(500, n_step, gamma, generator())
    k = int(torch.nonzero((batch.action_tm1 == frame) & (batch.weight > 0))[0, 0])
    return float(batch.reward_t[k]), float(batch.discount_t[k]), batch.obs_t[k].flatten().tolist()


@pytest.mark.parametrize(("ending", "discount"), [("terminated", 0.0), ("truncated", 0.25), ("value_ends", 0.0)])
def test_termination_and_lost_lives_stop_the_value_and_truncation_only_the_window(ending: str, discount: float) -> None:
    replay = one_env_replay()
    push(replay, 1, 1.0, first=True)
    push(replay, 2, 2.0, **{ending: True})
    push(replay, 3, 4.0, dummy=ending != "value_ends")
    for frame in (4, 5, 6):
        push(replay, frame, 8.0, first=frame == 4)
    # 1 + 0.5 x 2, then the end; the reward 4 beyond it belongs to nobody here.
    reward_t, discount_t, obs_t = sampled(replay, 1, 3)
    assert (reward_t, discount_t) == (2.0, discount)
    assert obs_t == [3.0]  # the true last observation


def test_n_step_return_by_hand() -> None:
    replay = one_env_replay()
    for frame, reward in enumerate([1.0, 2.0, 4.0, 8.0, 16.0]):
        push(replay, frame, reward, first=frame == 0)
    assert sampled(replay, 0, 3) == (1.0 + 1.0 + 1.0, 0.125, [3.0])
    assert sampled(replay, 1, 1) == (2.0, 0.5, [2.0])


def test_a_stack_never_shows_the_episode_before() -> None:
    replay = one_env_replay(stack=3)
    push(replay, 1, first=True)
    push(replay, 2, truncated=True)
    push(replay, 3, dummy=True)
    push(replay, 4, first=True)
    push(replay, 5)
    push(replay, 6)
    assert sampled(replay, 2, 1)[2] == [1, 2, 3]
    assert sampled(replay, 4, 1)[2] == [0, 4, 5]


def test_a_cut_is_a_truncation_with_the_observation_given() -> None:
    replay = one_env_replay()
    push(replay, 1, 1.0, first=True)
    replay.cut(torch.tensor([[9.0]]))
    push(replay, 2, 2.0, first=True)
    push(replay, 3, 2.0)
    push(replay, 4, 2.0)
    assert sampled(replay, 1, 2) == (1.0, 0.5, [9.0])


@pytest.mark.parametrize("ending", ["terminated", "truncated"])
def test_a_cut_leaves_an_episode_that_was_over_as_it_was(ending: str) -> None:
    replay = one_env_replay()
    push(replay, 1, 1.0, first=True, **{ending: True})
    replay.cut(torch.tensor([[9.0]]))
    push(replay, 2, 2.0, first=True)
    push(replay, 3, 2.0)
    assert sampled(replay, 1, 2) == (1.0, 0.0 if ending == "terminated" else 0.5, [9.0])


# ---- how often


def busy(alpha: float = 0.0, seed: int = 5) -> tuple[Reference, Replay]:
    """A full, turned ring in which a third of the slots are autoreset steps."""
    case = Case(3, 24, (2,), 1, 2, 61, seed, end=0.45, life=0.0, cut=0.05)
    reference, replay = case.make(alpha)
    reference.play(case.steps, replay)
    return reference, replay


def counts(replay: Replay, draws: int, batch_size: int, n_step: int, beta: float = 1.0) -> np.ndarray:
    """How often each slot was drawn with weight."""
    random_numbers = generator(3)
    found = np.zeros(len(replay), dtype=np.int64)
    for _ in range(draws // batch_size):
        batch = replay.sample(batch_size, n_step, 0.9, random_numbers, beta)
        found += np.bincount(batch.index[batch.weight > 0].numpy(), minlength=len(replay))
    return found


@pytest.mark.parametrize("batch_size", [1, 256])
def test_uniform_draws_are_uniform_over_real_transitions(batch_size: int) -> None:
    """Chi-square test; a right memory fails it once in a million choices of the seed."""
    reference, replay = busy()
    places = reference.samplable(replay, 2)
    slots = sorted(t % replay.length * replay.num_envs + e for t, e in places)
    found = counts(replay, 2_000 if batch_size == 1 else 64_000, batch_size, 2)
    assert found.sum() == found[slots].sum()
    assert scipy.stats.chisquare(found[slots]).pvalue > 1e-6


def test_a_batch_is_full_even_where_every_second_slot_is_an_autoreset_step() -> None:
    case = Case(2, 30, (2,), 1, 1, 30, 1, end=1.0, life=0.0, cut=0.0)
    reference, replay = case.make()
    reference.play(case.steps, replay)
    weights = torch.cat([replay.sample(32, 1, 0.9, generator(i)).weight for i in range(200)])
    # Fewer than 32 of 128 fair coins: under 1e-8 a batch.
    assert weights.min() == 1.0


def test_a_batch_that_finds_too_few_transitions_is_padded_without_weight() -> None:
    replay = one_env_replay()
    push(replay, 1, first=True, terminated=True)
    for _ in range(19):
        push(replay, 7, dummy=True)
    batch = replay.sample(32, 1, 0.9, generator())
    assert 0 < int(batch.weight.sum()) < 32
    assert torch.equal(batch.weight > 0, batch.action_tm1 == 1)


def test_prioritised_draws_follow_the_power_of_the_error_and_the_weights_undo_it() -> None:
    """Chi-square test at one in a million; strata only make the counts more regular."""
    alpha, beta, n_step = 0.7, 0.4, 2
    reference, replay = busy(alpha)
    slots = torch.tensor(sorted(t % replay.length * 3 + e for t, e in reference.samplable(replay, n_step)))
    error = torch.linspace(-3.0, 2.0, len(slots))  # signs must not matter
    replay.update_priorities(slots, error)
    share = (error.abs().double() + 1e-6).pow(alpha)
    share = share / share.sum()
    found = counts(replay, 64_000, 256, n_step)
    assert found.sum() == found[slots].sum() == 64_000
    assert scipy.stats.chisquare(found[slots], share.numpy() * 64_000).pvalue > 1e-6
    batch = replay.sample(64, n_step, 0.9, generator(), beta)
    probability = torch.stack([share[slots == index].squeeze() for index in batch.index])
    weight = (1 / probability) ** beta
    torch.testing.assert_close(batch.weight, (weight / weight.max()).float())
    assert torch.equal(replay.sample(64, n_step, 0.9, generator(), beta=0.0).weight, torch.ones(64))


def test_prioritised_draws_come_one_from_each_stratum() -> None:
    replay = one_env_replay(length=9, alpha=1.0)
    for frame in range(9):
        push(replay, frame, first=frame == 0)
    # Eight transitions of equal priority and eight draws: each exactly once.
    batch = replay.sample(8, 1, 0.9, generator())
    assert batch.action_tm1.tolist() == list(range(8))


def test_a_new_transition_gets_the_greatest_priority_so_far() -> None:
    replay = one_env_replay(alpha=0.5)
    for frame in range(5):
        push(replay, frame, first=frame == 0)
    replay.update_priorities(torch.tensor([0, 1]), torch.tensor([16.0, -4.0]))
    push(replay, 5)
    push(replay, 6)
    expected = torch.tensor([4.0, 2.0, 1.0, 1.0, 1.0, 4.0, 4.0], dtype=torch.float64)
    torch.testing.assert_close(replay.priority[:7], expected, atol=1e-4, rtol=0)


def test_a_priority_is_worth_nothing_once_its_slot_was_written_anew() -> None:
    replay = one_env_replay(length=6, alpha=1.0)
    for frame in range(6):
        push(replay, frame, first=frame == 0)
    replay.update_priorities(torch.tensor([0]), torch.tensor([1000.0]))
    push(replay, 6, truncated=True)
    push(replay, 7, dummy=True)
    push(replay, 8, first=True)
    push(replay, 9)
    # Frames 6, 7 (autoreset), 8 and 9 took the slots of 0 to 3.
    torch.testing.assert_close(replay.priority, torch.tensor([1000.0, 0, 1000, 1000, 1, 1]).double())
    batch = replay.sample(400, 1, 0.9, generator())
    assert sorted(set(batch.action_tm1.tolist())) == [6, 8]


class _Highest:
    """Stands in for torch.rand: the greatest number below 1, which rounds up to the total mass."""

    def __call__(self, size: int, **_: Any) -> torch.Tensor:
        return torch.full((size,), 1.0 - 2.0**-53, dtype=torch.float64)


def test_a_draw_rounded_up_to_the_whole_mass_is_padding(monkeypatch: pytest.MonkeyPatch) -> None:
    replay = one_env_replay(alpha=1.0)
    for frame in range(5):
        push(replay, frame, first=frame == 0)
    monkeypatch.setattr(torch, "rand", _Highest())
    batch = replay.sample(4, 1, 0.9, generator())
    real = batch.index < 4
    assert not real[-1]
    assert torch.equal(batch.weight, real.float())
    replay.update_priorities(batch.index, torch.full((4,), 5.0))
    assert replay.priority[4:].tolist() == [1.0] + [0.0] * 15  # the newest, still waiting, and what was never written


def test_without_an_exponent_priorities_are_neither_kept_nor_drawn_by() -> None:
    replay = one_env_replay()
    for frame in range(5):
        push(replay, frame, first=frame == 0)
    before = replay.sample(64, 1, 0.9, generator()).index
    replay.update_priorities(torch.tensor([0]), torch.tensor([100.0]))
    assert torch.equal(replay.sample(64, 1, 0.9, generator()).index, before)
    assert replay.priority.numel() == 0


def test_sampling_needs_one_whole_window() -> None:
    replay = one_env_replay()
    for frame in range(3):
        assert not replay.can_sample(3)
        push(replay, frame, first=frame == 0)
    assert replay.can_sample(2)
    assert not replay.can_sample(3)
    push(replay, 3)
    assert replay.can_sample(3)


# ---- saving


@pytest.mark.parametrize("alpha", [0.0, 0.6])
@pytest.mark.parametrize("steps", [7, 40])  # before the ring is full, and after it turned
def test_a_restored_memory_goes_on_identically(alpha: float, steps: int) -> None:
    case = Case(2, 16, (1, 2, 2), 3, 3, steps, 11, end=0.2, life=0.1, cut=0.1)
    reference, replay = case.make(alpha)
    reference.play(steps, replay)
    if alpha:
        index = replay.sample(16, 3, 0.9, generator()).index
        replay.update_priorities(index, torch.arange(16.0))
    state = copy.deepcopy(replay.state_dict())
    _, restored = case.make(alpha)
    other = Reference(2, (1, 2, 2), 3, 99, 0.3, 0.0, 0.0)
    other.play(23, restored)  # what was there before must not matter
    restored.load_state_dict(state)
    for round_ in range(4):
        for seed in range(3):
            one, two = (r.sample(32, 3, 0.9, generator(seed), 0.5) for r in (replay, restored))
            for name in vars(one):
                assert torch.equal(getattr(one, name), getattr(two, name)), (round_, name)
        reference.play(5, replay, restored)
        if alpha:
            for r in (replay, restored):
                r.update_priorities(torch.arange(4), torch.full((4,), 10.0 + round_))
    assert (len(restored), restored.cursor) == (len(replay), replay.cursor)


def test_a_state_holds_only_what_is_in_use() -> None:
    _, replay = busy()
    assert replay.state_dict()["frames"].shape == (72, 2)
    replay = one_env_replay(length=1000)
    push(replay, 1, first=True)
    assert replay.state_dict()["frames"].shape == (1, 1)


# ---- size


@pytest.mark.parametrize("alpha", [0.0, 0.6])
def test_a_hundred_thousand_pong_transitions_take_under_0_8_gb(alpha: float) -> None:
    replay = Replay(100_000, 8, (1, 84, 84), torch.uint8, 4, torch.device("meta"), alpha)  # shapes without memory
    assert replay.length * replay.num_envs == 100_000
    assert 100_000 * 84 * 84 < replay.size_bytes <= 0.8e9
    tensors = [value for value in vars(replay).values() if isinstance(value, torch.Tensor)]
    assert sum(t.untyped_storage().nbytes() for t in tensors) == pytest.approx(replay.size_bytes, rel=1e-6)


FILL = """
import psutil, torch
from agents.rl.replay import Replay
flags = [torch.zeros(8, dtype=torch.bool)] * 5
before = psutil.Process().memory_info().rss
replay = Replay(8_000, 8, (1, 84, 84), torch.uint8, 4, torch.device("cpu"))
for _ in range(1_000):
    replay.push(torch.ones(8, 1, 84, 84, dtype=torch.uint8), torch.ones(8), torch.ones(8), *flags)
print(replay.size_bytes, psutil.Process().memory_info().rss - before)
"""


@pytest.mark.slow
def test_a_filled_memory_takes_what_it_says() -> None:
    # In a process of its own: this one may fill the arrays from memory that earlier tests freed.
    done = subprocess.run([sys.executable, "-c", FILL], capture_output=True, text=True, check=True, cwd=CHECKOUT)
    said, taken = map(int, done.stdout.split())
    assert 0.8 * said < taken < 1.15 * said


def test_a_memory_that_does_not_fit_is_refused_with_the_size_that_does() -> None:
    with pytest.raises(ReplayTooLargeError, match=r"200,000 transitions takes 1\.4 GB, cpu has 1\.0 GB free") as caught:
        Replay(200_000, 8, (1, 84, 84), torch.uint8, 4, CPU, free_bytes=1_000_000_000)
    assert isinstance(caught.value, UserError)
    words = str(caught.value).split()
    fits = int(words[words.index("--replay.capacity") + 1])
    replay = Replay(fits, 8, (1, 84, 84), torch.uint8, 4, torch.device("meta"))  # the size named is not refused too
    assert 0.7e9 < replay.size_bytes < 0.9e9


def test_observations_of_which_not_one_fits_are_too_large() -> None:
    with pytest.raises(ReplayTooLargeError, match=r"free: its observations are too large to remember$"):
        Replay(1000, 1, (10**6,), torch.float32, 1, CPU, free_bytes=10**6)


def test_the_greatest_memory_of_this_machine_is_exceeded_before_anything_is_allocated() -> None:
    with pytest.raises(ReplayTooLargeError, match=r"use --replay\.capacity"):
        Replay(10**12, 8, (1, 84, 84), torch.uint8, 4, CPU, free_bytes=free_bytes(CPU))
