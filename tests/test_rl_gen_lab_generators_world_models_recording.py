"""Recordings: colors and rewards of the training split, title screens, and folders that are refused in one line."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import dot_world
import numpy as np
import pytest
import torch
from transition_folders import pong_transitions

from rl_gen_lab.data.records import DataError
from rl_gen_lab.generators.palette import Palette
from rl_gen_lab.generators.world_models import recording


def changed(tmp_path: Path, number: int, **arrays: np.ndarray) -> Path:
    path = shutil.copytree(dot_world.folder(), tmp_path / "copy")
    file = path / "transitions" / f"{number:05d}.npz"
    with np.load(file) as content:
        np.savez_compressed(file, **(dict(content) | arrays))
    return path


def test_a_recording_tells_its_world() -> None:
    data = dot_world.loaded()
    assert data.world.size == (32, 32) and data.world.num_actions == 3 and data.world.frame_skip == 1
    assert data.world.colors.tolist() == [[0, 0, 0], [236, 236, 236]] and data.world.rewards.tolist() == [0, 1]
    assert torch.allclose(data.frequencies.sum(0), torch.ones(32, 32)) and data.frequencies[2].max() < 0.01
    assert "2 colors, 3 actions, rewards 0, 1" in data.describe()[0]
    assert len(data.digest()) == len(data.pixels_digest()) == 12


def test_a_title_screen_before_the_game_is_left_out(tmp_path: Path) -> None:
    with np.load(dot_world.folder() / "transitions" / "00002.npz") as content:
        frames = content["frames"]
    strange = np.concatenate((np.full_like(frames[:1], 2), frames[1:]))
    colors = np.array([[0, 0, 0], [236, 236, 236], [9, 9, 9]], np.uint8)
    data = recording.load(changed(tmp_path, 2, frames=strange, colors=colors), 1, 8)
    before = dot_world.loaded()
    lengths = [[len(e) for e in d.splits["train"].episodes] for d in (before, data)]
    assert sum(lengths[0]) - sum(lengths[1]) in (1, lengths[0][0]) and data.world.colors.shape == (2, 3)


def test_more_rewards_than_can_be_learned_are_refused(tmp_path: Path) -> None:
    with np.load(dot_world.folder() / "transitions" / "00002.npz") as content:
        steps = len(content["rewards"])
    rewards = np.linspace(0, 1, steps, dtype=np.float32)
    monkey = recording.MAX_REWARDS
    try:
        recording.MAX_REWARDS = 5
        with pytest.raises(DataError, match="different rewards"):
            recording.load(changed(tmp_path, 2, rewards=rewards), 1, 8)
    finally:
        recording.MAX_REWARDS = monkey


def test_too_short_episodes_are_refused() -> None:
    with pytest.raises(DataError, match=r"no episode of .* has 500 steps"):
        recording.load(dot_world.folder(), 1, 500)


def test_a_folder_without_transitions_is_refused(tmp_path: Path) -> None:
    path = shutil.copytree(dot_world.folder(), tmp_path / "copy")
    shutil.rmtree(path / "transitions")
    with pytest.raises(DataError, match="--transitions"):
        recording.load(path, 1, 8)


def test_a_recording_of_another_world_is_refused() -> None:
    world = dot_world.loaded().world
    with pytest.raises(DataError, match="another world"):
        recording.load(pong_transitions(), 1, 8, world)
    with pytest.raises(DataError, match=r"recording of Dot-v0.*trained on Pong"):
        recording.load(dot_world.folder(), 1, 8, replace(world, task="Pong x"))


def test_frames_are_read_in_the_colors_of_a_known_world() -> None:
    world = dot_world.loaded().world
    turned = replace(world, colors=world.colors.flip(0))
    one = recording.load(dot_world.folder(), 1, 8).splits["test"].windows([0]).frames
    other = recording.load(dot_world.folder(), 1, 8, turned).splits["test"].windows([0]).frames
    assert torch.equal(one, 1 - other)


def test_numbers_of_colors_are_those_of_a_palette() -> None:
    world = recording.load(pong_transitions(), 2, 4).world
    assert torch.equal(Palette(world.colors).colors, world.colors) and len(world.colors) >= 4
