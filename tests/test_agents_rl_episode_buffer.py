"""The episode buffer: steps after an episode's end are marked, truncations remembered, state restored."""

from __future__ import annotations

import numpy as np
import torch
from gymnasium import spaces

from agents.rl.episode_buffer import EpisodeBuffer
from agents.rl.interfaces import Step

SPACE = spaces.Box(-np.inf, np.inf, (1,), np.float32)
CPU = torch.device("cpu")


def step(t: int, terminated: tuple[bool, bool] = (False, False), truncated: tuple[bool, bool] = (False, False)) -> Step:
    none = np.zeros(2, bool)
    obs = np.full((2, 1), t, np.float32)
    ends = np.array(terminated), np.array(truncated)
    return Step(obs, np.zeros(2, np.int64), np.ones(2, np.float32), *ends, none, none, none, obs + 1)


def filled() -> EpisodeBuffer:
    """The first episode terminates at once, the second is truncated at the third step."""
    buffer = EpisodeBuffer(2, SPACE, CPU)
    for t, happened in enumerate([step(0, terminated=(True, False)), step(1), step(2, truncated=(True, True))]):
        assert not buffer.full
        buffer.push(happened, torch.tensor([t, t]))
    return buffer


def test_each_environment_plays_one_episode_and_later_steps_are_not_alive() -> None:
    buffer = filled()
    assert buffer.full
    assert buffer.last_obs.tolist() == [[1.0], [3.0]]  # the true last ones: of step 0, of step 2
    rows = buffer.take()
    assert rows["alive"].T.tolist() == [[True, False, False], [True, True, True]]
    assert rows["goes_on"].T.tolist() == [[False, True, False], [True, True, False]]
    assert (rows["cut"] & rows["alive"]).T.tolist() == [[False] * 3, [False, False, True]]
    assert rows["action"].tolist() == [[0, 0], [1, 1], [2, 2]]
    assert not buffer.full and buffer.state_dict()["rows"]["obs"] is None


def test_a_stored_row_does_not_change_with_the_environment_s_array() -> None:
    buffer, happened = EpisodeBuffer(2, SPACE, CPU), step(0)
    buffer.push(happened, torch.zeros(2))
    happened.obs[:] = 9.0
    assert buffer.state_dict()["rows"]["obs"].flatten().tolist() == [0.0, 0.0]


def test_a_restored_buffer_continues_as_the_one_that_was_saved() -> None:
    buffer, twin = filled(), EpisodeBuffer(2, SPACE, CPU)
    twin.load_state_dict(buffer.state_dict())
    assert twin.full and torch.equal(twin.last_obs, buffer.last_obs)
    first, second = buffer.take(), twin.take()
    assert all(torch.equal(first[name], second[name]) for name in first)
