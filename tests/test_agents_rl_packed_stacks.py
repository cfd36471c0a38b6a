"""Packed stacks of frames: exact for any rows, small where stacks go on, refused where the bytes are cut."""

from __future__ import annotations

import numpy as np
import pytest

from agents.rl.packed_frames import PackedFramesError
from agents.rl.packed_stacks import StackPacker
from agents.training.env_runner import VectorEnvRunner
from envs.config import EnvConfig
from envs.names import resolve
from rl_gen_lab.compute.seeding import Generators


def stacks(frames: np.ndarray, stack: int) -> np.ndarray:
    """(T, N, stack * C, H, W) of frames (T + stack - 1, N, C, H, W), one after another."""
    rows = len(frames) - stack + 1
    return np.stack(
        [frames[t : t + stack].swapaxes(0, 1).reshape(frames.shape[1], -1, *frames.shape[3:]) for t in range(rows)]
    )


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("stack", [1, 4])
def test_what_is_packed_is_unpacked(channels: int, stack: int) -> None:
    frames = np.random.default_rng(stack).integers(0, 256, (12, 3, channels, 5, 4), np.uint8)
    obs = stacks(frames, stack)
    obs[4:, 1] = obs[4:, 1][::-1]  # games that go on with nothing of before
    packer = StackPacker(obs.shape[2:], channels)
    data = packer.pack(obs)
    assert np.array_equal(packer.unpack(data, len(obs), 3), obs)
    assert len(data) <= packer.most_bytes(len(obs), 3)


def test_random_stacks_of_which_none_goes_on_fit_into_what_is_set_aside() -> None:
    obs = np.random.default_rng(0).integers(0, 256, (9, 2, 4, 84, 84), np.uint8)
    packer = StackPacker((4, 84, 84), 1)
    data = packer.pack(obs)
    assert obs.size < len(data) <= packer.most_bytes(9, 2)
    assert np.array_equal(packer.unpack(data, 9, 2), obs)


def test_a_game_is_packed_to_a_hundredth_over_its_beginning_too() -> None:
    runner = VectorEnvRunner(resolve("Pong"), 2, EnvConfig(noop_max=1, max_episode_frames=100), Generators(1))
    rows, firsts = [runner.obs], 0
    for _ in range(64):
        step, _ = runner.step(np.array([2, 3]))
        rows.append(step.next_obs)
        firsts += int(step.first.sum())
    runner.close()
    obs = np.stack(rows)
    packer = StackPacker(obs.shape[2:], 1)
    data = packer.pack(obs)
    assert firsts > 2 and np.array_equal(packer.unpack(data, len(obs), 2), obs)
    assert len(data) < obs.nbytes / 100


@pytest.mark.parametrize("kept", [0.3, 0.9])
def test_bytes_that_are_cut_are_refused(kept: float) -> None:
    obs = stacks(np.random.default_rng(1).integers(0, 256, (9, 2, 1, 8, 8), np.uint8), 4)
    packer = StackPacker((4, 8, 8), 1)
    data = packer.pack(obs)
    with pytest.raises(PackedFramesError, match="a packed rollout ends within environment"):
        packer.unpack(data[: int(kept * len(data))], len(obs), 2)
