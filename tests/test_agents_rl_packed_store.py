"""A replay memory of packed frames gives the same samples as one of plain frames, bit for bit, and takes less."""

from __future__ import annotations

import dataclasses
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box
from hypothesis import given
from hypothesis import strategies as st
from replay_reference import CPU, Case, cases, generator
from test_agents_rl_replay import property_test

from agents.rl import packed_store
from agents.rl.replay import Batch, Replay, ReplayConfig, ReplayTooLargeError, make_replay
from rl_gen_lab.cli.errors import ConfigError

Recorded = list[tuple[torch.Tensor, ...]]


def pair(case: Case, alpha: float) -> tuple[Replay, Replay]:
    """The same memory twice: plain and packed."""
    sizes = (case.length * case.num_envs, case.num_envs, case.frame_shape, torch.uint8, case.stack, CPU, alpha)
    return Replay(*sizes), Replay(*sizes, packed=True)


def steps(case: Case) -> Recorded:
    """What is pushed: frames that hardly differ, flags as of games."""
    rng = np.random.default_rng(case.seed)
    frames = np.zeros((case.num_envs, *case.frame_shape), np.uint8)
    pushed = []
    for _ in range(case.steps):
        frames[:, 0, rng.integers(case.frame_shape[1])] = rng.integers(256)
        flags = rng.random((5, case.num_envs)) < case.end / 2
        arrays = (frames, rng.integers(4, size=case.num_envs), rng.random(case.num_envs).astype(np.float32), *flags)
        pushed.append(tuple(torch.from_numpy(np.array(array)) for array in arrays))
    return pushed


def assert_equal_batches(first: Batch, second: Batch) -> None:
    for field in dataclasses.fields(Batch):
        a, b = getattr(first, field.name), getattr(second, field.name)
        assert a.dtype == b.dtype and a.shape == b.shape and torch.equal(a, b), field.name


def compare(plain: Replay, packed: Replay, case: Case, seed: int) -> None:
    assert len(plain) == len(packed) and torch.equal(plain.stored_frames(), packed.stored_frames())
    if plain.can_sample(case.n_step):
        batches = [r.sample(17, case.n_step, 0.9, generator(seed), 0.5) for r in (plain, packed)]
        assert_equal_batches(*batches)
        for memory, batch in zip((plain, packed), batches, strict=True):
            memory.update_priorities(batch.index, torch.arange(17.0))


@property_test(60)
@given(case=cases(), alpha=st.sampled_from([0.0, 0.6]), length=st.integers(10, 70))
def test_samples_are_those_of_the_plain_memory(case: Case, alpha: float, length: int) -> None:
    shape = case.frame_shape if len(case.frame_shape) == 3 else (1, 2, 3)
    # Several chunks, a last one that is shorter, and rings that are overwritten more than once.
    case = replace(case, frame_shape=shape, length=length, steps=2 * case.steps + length)
    plain, packed = pair(case, alpha)
    for number, pushed in enumerate(steps(case)):
        for memory in (plain, packed):
            memory.push(*pushed)
            if number % 23 == 22:
                memory.cut(pushed[0])
        if number % 11 == 10:
            compare(plain, packed, case, number)
    compare(plain, packed, case, 0)


def test_a_saved_memory_goes_on_as_the_plain_one() -> None:
    case = Case(3, 41, (1, 6, 5), 4, 3, 150, 0, 0.1, 0.0, 0.0)
    plain, packed = pair(case, 0.6)
    pushed = steps(case)
    for number in (20, 75):  # before the ring is full, and in the middle of a chunk that is overwritten
        for step in pushed[:number]:
            plain.push(*step)
            packed.push(*step)
        state: dict[str, Any] = packed.state_dict()
        assert "frames" not in state and state["packed"]["data"].dtype == np.uint8
        _, loaded = pair(case, 0.6)
        loaded.load_state_dict(state)
        for step in pushed[number:]:
            plain.push(*step)
            loaded.push(*step)
            compare(plain, loaded, case, number)
        plain, packed = pair(case, 0.6)


def test_a_memory_of_games_is_small_and_says_so() -> None:
    sizes = (1_600, 2, (1, 84, 84), torch.uint8, 4, CPU)
    plain, packed = Replay(*sizes), Replay(*sizes, packed=True)
    frames = torch.full((2, 1, 84, 84), 87, dtype=torch.uint8)
    none = torch.zeros(2, dtype=torch.bool)
    for number in range(800):
        frames[:, :, number % 84, :3] += 50
        packed.push(frames, torch.zeros(2, dtype=torch.int64), torch.zeros(2), *[none] * 5)
    open_chunk = 2 * packed_store.CHUNK * 84 * 84
    assert plain.size_bytes > 1_600 * 84 * 84
    assert open_chunk < packed.size_bytes < open_chunk + 1_600 * 150


def test_what_cannot_be_packed_or_does_not_fit_is_refused() -> None:
    def made(shape: tuple[int, ...], device: str, free: int) -> Replay:
        space = Box(0, 255, shape, np.uint8 if len(shape) == 3 else np.float32)
        return make_replay(ReplayConfig(capacity=10_000, packed=True), 2, space, 4, torch.device(device), free)

    assert isinstance(made((4, 84, 84), "cpu", 10**7).frames, packed_store.PackedStore)
    for shape, device in (((4,), "cpu"), ((4, 84, 84), "meta")):
        with pytest.raises(ConfigError, match=r"--replay\.packed keeps frames of pixels"):
            made(shape, device, 10**10)
    with pytest.raises(ReplayTooLargeError, match=r"use --replay\.capacity"):
        made((4, 84, 84), "cpu", 10**6)
