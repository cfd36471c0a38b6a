"""Frames in patches come back, and no pixel moves to another place."""

from __future__ import annotations

import torch

from rl_gen_lab.generators.world_models import patches


def test_patches_give_the_frames_back() -> None:
    frames = torch.randint(0, 9, (2, 3, 21, 18), dtype=torch.uint8)
    grid = patches.grid_of((21, 18), 2)
    assert grid == (6, 6)
    cut = patches.to_patches(frames, grid)
    assert cut.shape == (2, 3, 16, 6, 6) and cut.dtype == torch.uint8
    assert torch.equal(patches.from_patches(cut, (21, 18)), frames)


def test_a_patch_holds_its_own_sixteen_pixels_row_by_row() -> None:
    frame = torch.arange(8 * 8).reshape(1, 8, 8)
    cut = patches.to_patches(frame, (2, 2))
    assert cut[0, :, 1, 0].tolist() == frame[0, 4:8, 0:4].flatten().tolist()


def test_pixels_beyond_the_edge_are_zero() -> None:
    assert patches.to_patches(torch.ones(1, 5, 5), (2, 2)).sum() == 25


def test_one_hot_has_a_one_for_each_pixel() -> None:
    numbers = torch.randint(0, 4, (2, 16, 3, 3), dtype=torch.uint8)
    hot = patches.one_hot(numbers, 4)
    assert torch.equal(hot.sum(1), torch.ones(2, 16, 3, 3, dtype=torch.int64))
    assert torch.equal(hot.int().argmax(1).to(torch.uint8), numbers)
