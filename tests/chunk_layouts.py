"""Small layouts of chunks, and chunks of numbers that say what they are, for tests of what carries them."""

from __future__ import annotations

import numpy as np

from agents.rl.interfaces import Step
from agents.training.rollout_chunks import Arrays, ChunkLayout, ChunkWriter

NUMBERS = ChunkLayout(
    rows=4,
    envs=2,
    obs_shape=(3,),
    obs_dtype="float32",
    channels=0,
    action_shape=(),
    action_dtype="int64",
    head_shape=(),
    head_dtype="int64",
    mind_bytes=8,
)


def counted_step(layout: ChunkLayout, place: int) -> Step:
    """A step at a place of a game: observations show where it is, actions are the place."""
    n = layout.envs
    flags = {name: np.zeros(n, bool) for name in ("terminated", "truncated", "value_ends", "first", "dummy")}
    obs, next_obs = (np.full((n, *layout.obs_shape), x, layout.obs_dtype) for x in (place, place + 1))
    action = np.full((n, *layout.action_shape), place, layout.action_dtype)
    return Step(obs=obs, action=action, reward=np.full(n, place, np.float32), next_obs=next_obs, **flags)


def write_counted(layout: ChunkLayout, arrays: Arrays, place: int, ids: dict[str, int]) -> None:
    """Write a chunk that begins at a place."""
    writer = ChunkWriter(layout)
    for t in range(ids["rows"]):
        mind = np.array([place + t + 1], np.int64).view(np.uint8)
        head = np.full((layout.envs, *layout.head_shape), place + t)
        writer.row(arrays, t, counted_step(layout, place + t), head=head, mind=mind)
    writer.end(arrays, ids, waited=0.25, played=0.75)
