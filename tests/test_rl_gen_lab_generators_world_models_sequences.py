"""Windows of play: the frame before each step, the frame after it, and the context before an episode's beginning."""

from __future__ import annotations

import torch

from rl_gen_lab.data.transitions import Episode
from rl_gen_lab.generators.world_models.sequences import SequenceSplit


def episode(steps: int, number: int = 0) -> Episode:
    """Frame t is filled with t, action t is t."""
    shown = torch.arange(steps + 1)
    rewards, ends = torch.arange(steps).float(), torch.arange(steps) == steps - 1
    return Episode(
        number,
        frames=shown.to(torch.uint8)[:, None, None].expand(-1, 2, 2).contiguous(),
        actions=shown[:-1],
        executed=shown[:-1, None],
        rewards=rewards,
        terminated=ends,
        truncated=torch.zeros(steps, dtype=torch.bool),
        images=shown,
        slots=shown[:, None].float(),
    )


def test_windows_cover_an_episode_once() -> None:
    split = SequenceSplit("train", [episode(10), episode(3), episode(7)], context=2, steps=4)
    assert len(split) == 3 and [len(e) for e in split.episodes] == [10, 7]
    windows = split.windows([0, 1, 2])
    assert windows.frames[:, :, 0, 0].tolist() == [[0, 0, 1, 2, 3, 4], [3, 4, 5, 6, 7, 8], [0, 0, 1, 2, 3, 4]]
    assert windows.executed[..., 0].tolist() == [[0, 1, 2, 3], [4, 5, 6, 7], [0, 1, 2, 3]]


def test_a_later_beginning_stays_within_the_episode() -> None:
    split = SequenceSplit("train", [episode(10)], context=1, steps=4)
    for offset in range(9):
        window = split.windows([1], offset)
        first = int(window.executed[0, 0])
        assert first == min(4 + offset, 6) and window.frames[0, 0, 0, 0] == first
    assert split.windows([1], 9).ends[0].tolist() == [False, False, False, True]


def test_examples_are_contexts() -> None:
    split = SequenceSplit("test", [episode(10)], context=3, steps=4)
    assert split.images.shape == (2, 3, 2, 2) and split.evenly_spaced(1) == [0]
