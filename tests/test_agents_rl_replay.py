"""The replay memory against a reference that keeps whole episodes in plain Python lists and forgets nothing."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from replay_reference import Case, Reference, busy, cases, generator, one_env_replay, push

from agents.rl.replay import Replay


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
    return settings(max_examples=examples, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


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
