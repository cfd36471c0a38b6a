"""How much memory the replay memory takes, and what it refuses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from replay_reference import CPU

from agents.rl.replay import Replay, ReplayTooLargeError
from rl_gen_lab.cli.errors import UserError
from rl_gen_lab.compute.memory_budget import free_bytes

CHECKOUT = Path(__file__).resolve().parent.parent


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
replay = Replay(4_000, 8, (1, 84, 84), torch.uint8, 4, torch.device("cpu"))
for _ in range(500):
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
