"""Chunks in a block of bytes: what is written is read, packed or not, and arrays do not touch one another."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from chunk_layouts import NUMBERS, counted_step, write_counted

from agents.training.rollout_chunks import FLAGS, Arrays, ChunkLayout, ChunkReader, ChunkWriter, ids_of

FRAMES = replace(NUMBERS, obs_shape=(4, 6, 5), obs_dtype="uint8", head_shape=(2,), head_dtype="float32")


def whole(layout: ChunkLayout, arrays: Arrays) -> Arrays:
    """A chunk as one that is alone in its rollout."""
    reader = ChunkReader(layout)
    joined = reader.join([reader.read(arrays)])
    return joined | {"mind": joined["mind"][:, 0]}


@pytest.mark.parametrize("layout", [NUMBERS, FRAMES, replace(FRAMES, channels=1), replace(FRAMES, channels=2)])
@pytest.mark.parametrize("rows", [1, 4])
def test_what_is_written_is_read(layout: ChunkLayout, rows: int) -> None:
    arrays = layout.arrays(bytearray(layout.size_bytes))
    generator = np.random.default_rng(rows)
    writer, steps, others = ChunkWriter(layout), [], []
    obs = generator.integers(0, 200, (rows + 1, layout.envs, *layout.obs_shape)).astype(layout.obs_dtype)
    for t in range(rows):
        flags = {name: generator.random(layout.envs) < 0.5 for name in FLAGS}
        reward = generator.random(layout.envs).astype(np.float32)
        step = replace(counted_step(layout, t), obs=obs[t], next_obs=obs[t + 1], reward=reward, **flags)
        head = generator.random((layout.envs, *layout.head_shape)).astype(layout.head_dtype)
        mind = generator.integers(0, 256, 8).astype(np.uint8)
        other = {"head": head, "mind": mind, "log_prob": -reward, "episode_return": generator.random(layout.envs)}
        writer.row(arrays, t, step, **other)
        steps.append(step)
        others.append(other)
    writer.end(arrays, {"actor": 7, "epoch": 1, "serial": 9, "rows": rows, "version": 2**40}, waited=1.5, played=2.5)
    ids = ids_of(arrays)
    assert (ids["actor"], ids["epoch"], ids["serial"], ids["rows"], ids["version"]) == (7, 1, 9, rows, 2**40)
    assert arrays["seconds"].tolist() == [1.5, 2.5]
    found = whole(layout, arrays)
    assert np.array_equal(found["obs"], obs) and found["obs"].dtype == obs.dtype
    for t, (step, other) in enumerate(zip(steps, others, strict=True)):
        for name in (*FLAGS, "action", "reward"):
            assert np.array_equal(found[name][t], getattr(step, name)), name
        for name, array in other.items():
            assert np.array_equal(found[name][t], array), name


def test_only_the_bytes_that_are_used_need_to_travel() -> None:
    layout = replace(FRAMES, channels=1)
    block = bytearray(layout.size_bytes)
    arrays = layout.arrays(block)
    write_counted(layout, arrays, 3, {"rows": 4})
    count = layout.used_bytes(arrays)
    assert count < layout.size_bytes
    used = layout.arrays(bytes(block[:count]))
    assert np.array_equal(whole(layout, used)["obs"], whole(layout, arrays)["obs"])
    other = bytearray(layout.size_bytes)
    other[:count] = block[:count]
    there = whole(layout, layout.arrays(other))
    assert all(np.array_equal(there[name], array) for name, array in whole(layout, arrays).items())
    assert there["obs"][:, 0, 0, 0, 0].tolist() == [3, 4, 5, 6, 7]


def test_arrays_lie_apart_and_what_is_read_is_a_copy() -> None:
    arrays = NUMBERS.arrays(bytearray(NUMBERS.size_bytes))
    for number, array in enumerate(arrays.values()):
        array.view(np.uint8)[...] = number
    for number, array in enumerate(arrays.values()):
        assert (array.view(np.uint8) == number).all()
    write_counted(NUMBERS, arrays, 0, {"rows": 2})
    found = ChunkReader(NUMBERS).read(arrays)
    arrays["obs"][...] = -1
    assert found["obs"][:, 0, 0].tolist() == [0, 1, 2]


@pytest.mark.parametrize("layout", [NUMBERS, replace(FRAMES, channels=1)])
def test_chunks_of_actors_stand_side_by_side(layout: ChunkLayout) -> None:
    reader, chunks = ChunkReader(layout), []
    for rows in (4, 4, 2):
        arrays = layout.arrays(bytearray(layout.size_bytes))
        write_counted(layout, arrays, 10 * len(chunks), {"rows": rows})
        chunks.append(reader.read(arrays))
    joined = reader.join(chunks[:2])
    assert joined["action"].tolist() == [[t, t, 10 + t, 10 + t] for t in range(4)]
    assert joined["obs"].shape[:2] == (5, 4) and joined["mind"].shape == (4, 2, 8)
    assert joined["obs"].reshape(5, 4, -1)[:, :, -1].tolist() == [[t, t, 10 + t, 10 + t] for t in range(5)]
    last = reader.join(chunks[2:])
    assert last["obs"].reshape(3, 2, -1)[:, :, 0].tolist() == [[20 + t] * 2 for t in range(3)]
