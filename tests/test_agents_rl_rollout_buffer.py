"""Rollouts: what a row holds, where advantages stop, what a restart leaves, sequences, and saving."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium import spaces

from agents.rl.interfaces import Step
from agents.rl.rollout_buffer import RolloutBuffer, sequences

OBS, ACTIONS = spaces.Box(-1e3, 1e3, (1,), np.float32), spaces.Discrete(9)
CPU = torch.device("cpu")


def step(
    obs: float, next_obs: float, reward: float = 1.0, terminated: bool = False, truncated: bool = False,
    value_ends: bool = False, first: bool = False, dummy: bool = False,
) -> Step:  # fmt: skip
    """A vector step of one copy."""

    def flag(x: bool) -> np.ndarray:
        return np.array([x])

    return Step(
        np.array([[obs]], np.float32), np.array([3]), np.array([reward], np.float32), flag(terminated),
        flag(truncated), flag(value_ends), flag(first), flag(dummy), np.array([[next_obs]], np.float32),
    )  # fmt: skip


def filled(steps: list[Step], room: int | None = None) -> RolloutBuffer:
    made = RolloutBuffer(room or len(steps), 1, OBS, ACTIONS, CPU)
    for s in steps:
        made.push(s, torch.tensor([3]))
    return made


def advantages(made: RolloutBuffer, gamma: float = 0.5, lambda_: float = 1.0) -> tuple[list[float], list[float]]:
    """Advantages and mask where the value of an observation is the observation itself."""
    found = made.advantages(made.obs.squeeze(-1), made.reward, gamma, lambda_)
    return found.advantage.flatten().tolist(), found.mask.flatten().tolist()


def test_a_truncated_episode_is_valued_at_its_true_last_observation_and_the_next_one_stays_out() -> None:
    # Values: 10, 20, then cut at 30; dummy row; the next episode starts at 40 and goes on to 50.
    made = filled(
        [
            step(10, 20, first=True),
            step(20, 30, truncated=True),
            step(30, 40, 0.0, dummy=True),
            step(40, 50, first=True),
        ]
    )
    found, mask = advantages(made)
    # Row 1: 1 + 30/2 - 20 = -4. Row 0: 1 + 20/2 - 10 + -4/2 = -1. Row 3: 1 + 50/2 - 40 = -14.
    assert mask == [1.0, 1.0, 0.0, 1.0]
    assert [found[0], found[1], found[3]] == [-1.0, -4.0, -14.0]


def test_termination_and_a_lost_life_end_the_value_and_a_lost_life_has_no_dummy_row() -> None:
    made = filled(
        [step(10, 20), step(20, 30, value_ends=True), step(30, 40, terminated=True), step(40, 0, 0, dummy=True)]
    )
    found, mask = advantages(made)
    # Row 2: 1 - 30. Row 1: 1 - 20. Row 0: 1 + 20/2 - 10 - 19/2.
    assert mask == [1.0, 1.0, 1.0, 0.0]
    assert found[:3] == [-8.5, -19.0, -29.0]


def test_a_restart_is_a_truncation_with_a_dummy_row() -> None:
    made = filled([step(10, 20, first=True)], room=3)
    made.cut()
    made.push(step(7, 8, first=True), torch.tensor([3]))
    found, mask = advantages(made)
    assert made.full and mask == [1.0, 0.0, 1.0]
    assert [found[0], found[2]] == [1 + 20 / 2 - 10, 1 + 8 / 2 - 7]


def test_a_restart_at_the_end_of_a_rollout_or_before_it_leaves_no_row() -> None:
    made = filled([step(10, 20, first=True)])
    made.cut()
    assert made.full and advantages(made) == ([1.0], [1.0])
    made.clear()
    made.cut()
    assert made.length == 0


def test_a_restart_right_after_an_episode_s_end_changes_no_advantage() -> None:
    rows = [step(10, 20, first=True), step(20, 30, terminated=True)]
    made = filled(rows, room=3)
    made.cut()
    found, mask = advantages(made)
    assert mask == [1.0, 1.0, 0.0] and found[:2] == [1 + 20 / 2 - 10 - 19 / 2, -19.0]


def test_what_was_saved_half_way_goes_on_the_same() -> None:
    rows = [step(10, 20, first=True), step(20, 30, truncated=True), step(30, 40, dummy=True), step(40, 50, first=True)]
    whole = filled(rows)
    half = filled(rows[:2], room=4)
    resumed = RolloutBuffer(4, 1, OBS, ACTIONS, CPU)
    resumed.load_state_dict(half.state_dict())
    for s in rows[2:]:
        resumed.push(s, torch.tensor([3]))
    assert advantages(resumed) == advantages(whole)
    assert torch.equal(resumed.first, whole.first) and torch.equal(resumed.action, whole.action)


def test_only_observations_in_which_an_action_was_taken_are_counted() -> None:
    made = filled([step(10, 20, terminated=True), step(20, 40, dummy=True), step(40, 50, first=True)])
    assert made.real_obs().flatten().tolist() == [10.0, 40.0]


@pytest.mark.parametrize("length", [1, 2, 3, 6])
def test_sequences_keep_time_order_and_copies_apart(length: int) -> None:
    time, copy = torch.arange(6), torch.arange(4)
    x = time[:, None] * 10 + copy
    cut = sequences(x, length)
    assert cut.shape == (length, 6 // length * 4)
    for k in range(6 // length):
        for i in range(4):
            assert cut[:, k * 4 + i].tolist() == [10 * t + i for t in range(k * length, (k + 1) * length)]


def test_continuous_actions_and_pixels_have_their_shapes() -> None:
    made = RolloutBuffer(5, 3, spaces.Box(0, 255, (4, 36, 36), np.uint8), spaces.Box(-1, 1, (2,), np.float32), CPU)
    assert made.obs.shape == (6, 3, 4, 36, 36) and made.obs.dtype == torch.uint8
    assert made.action.shape == (5, 3, 2) and made.action.dtype == torch.float32
