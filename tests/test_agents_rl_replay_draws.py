"""How often the replay memory draws each transition, uniformly and by priority."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch
from replay_reference import Case, busy, generator, one_env_replay, push

from agents.rl.replay import Replay


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
