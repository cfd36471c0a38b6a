"""The chunk: what one actor plays in one go, as arrays in one block of bytes, in shared memory and on a wire."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from agents.rl.interfaces import Step
from agents.rl.packed_stacks import StackPacker

IDS = ("actor", "epoch", "serial", "rows", "version", "packed_bytes")
FLAGS = ("terminated", "truncated", "value_ends", "first", "dummy")
ALIGNED = 64  # bytes; arrays begin at multiples of it
Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class ChunkLayout:
    """Where the arrays of a chunk lie.

    rows: T, at most; envs: n of the actor; obs_shape, obs_dtype: of one observation; channels: of a frame where the
    observations are stacks of frames and travel packed, else 0; action_shape, action_dtype: of one action of the
    environment; head_shape, head_dtype: as the policy's head samples it; mind_bytes: of what an actor remembers.
    """

    rows: int
    envs: int
    obs_shape: tuple[int, ...]
    obs_dtype: str
    channels: int
    action_shape: tuple[int, ...]
    action_dtype: str
    head_shape: tuple[int, ...]
    head_dtype: str
    mind_bytes: int

    def fields(self) -> dict[str, tuple[str, tuple[int, ...]]]:
        """Return type and shape of each array.

        ids: by IDS; seconds: that the actor waited and played; action: (T, n, ...); head: (T, n, ...), as sampled;
        log_prob: (T, n) of it [nats]; reward: (T, n); flags as in `Step`; episode_return, episode_length: (T, n) of
        episodes that end at this row, length 0 where none does; mind: (T, M), after the row; obs: (T+1, n, ...), or
        bytes at the end.
        """
        table = (self.rows, self.envs)
        fields: dict[str, tuple[str, tuple[int, ...]]] = {"ids": ("int64", (len(IDS),)), "seconds": ("float64", (2,))}
        fields |= {"action": (self.action_dtype, (*table, *self.action_shape))}
        fields |= {"head": (self.head_dtype, (*table, *self.head_shape))}
        fields |= {"log_prob": ("float32", table), "reward": ("float32", table)}
        fields |= {name: ("bool", table) for name in FLAGS}
        fields |= {"episode_return": ("float64", table), "episode_length": ("int64", table)}
        fields |= {"mind": ("uint8", (self.rows, self.mind_bytes))}
        if self.channels:
            most = StackPacker(self.obs_shape, self.channels).most_bytes(self.rows + 1, self.envs)
            return fields | {"packed": ("uint8", (most,))}
        return fields | {"obs": (self.obs_dtype, (self.rows + 1, self.envs, *self.obs_shape))}

    @property
    def size_bytes(self) -> int:
        """The bytes of a block."""
        return places_of(self)[1]

    def arrays(self, block: Any) -> Arrays:
        """Return the arrays of a block of bytes, which they share; of a packed chunk the used bytes are enough."""
        places, end = places_of(self)
        fields = self.fields()
        if self.channels and len(block) < end:
            fields["packed"] = ("uint8", (len(block) - places["packed"],))
        return {name: np.ndarray(shape, dtype, block, places[name]) for name, (dtype, shape) in fields.items()}

    def used_bytes(self, arrays: Arrays) -> int:
        """Return how many bytes of a block have been written: packed observations come last."""
        places, end = places_of(self)
        return places["packed"] + ids_of(arrays)["packed_bytes"] if self.channels else end


@functools.cache
def places_of(layout: ChunkLayout) -> tuple[dict[str, int], int]:
    """Return where each array begins in a block, and where the block ends [bytes]."""
    places, end = {}, 0
    for name, (dtype, shape) in layout.fields().items():
        places[name] = end
        end += -(-int(np.prod(shape)) * np.dtype(dtype).itemsize // ALIGNED) * ALIGNED
    return places, end


def ids_of(arrays: Arrays) -> dict[str, int]:
    """Return the numbers of a chunk by name."""
    return dict(zip(IDS, arrays["ids"].tolist(), strict=True))


class ChunkWriter:
    """Writes chunks into blocks, row by row."""

    def __init__(self, layout: ChunkLayout) -> None:
        self.layout = layout
        self._packer = StackPacker(layout.obs_shape, layout.channels) if layout.channels else None
        self._obs = np.empty((layout.rows + 1, layout.envs, *layout.obs_shape), layout.obs_dtype)

    def row(self, arrays: Arrays, t: int, step: Step, **others: np.ndarray) -> None:
        """Write a vector step and what else belongs to it, by the names of the arrays."""
        obs = self._obs if self._packer else arrays["obs"]
        obs[t], obs[t + 1] = step.obs, step.next_obs
        arrays["action"][t], arrays["reward"][t] = step.action, step.reward
        for name in FLAGS:
            arrays[name][t] = getattr(step, name)
        for name, array in others.items():
            arrays[name][t] = array

    def end(self, arrays: Arrays, ids: dict[str, int], waited: float, played: float) -> None:
        """Complete a chunk of `rows` rows."""
        if self._packer:
            data = self._packer.pack(self._obs[: ids["rows"] + 1])
            ids = ids | {"packed_bytes": len(data)}
            arrays["packed"][: len(data)] = np.frombuffer(data, np.uint8)
        arrays["ids"][:] = [ids.get(name, 0) for name in IDS]
        arrays["seconds"][:] = waited, played


class ChunkReader:
    """Reads chunks out of blocks, which are free for others then."""

    def __init__(self, layout: ChunkLayout) -> None:
        self.layout = layout
        self._packer = StackPacker(layout.obs_shape, layout.channels) if layout.channels else None
        self._obs: np.ndarray | None = None

    def read(self, arrays: Arrays) -> Arrays:
        """Return a copy of the arrays of a chunk, of T rows; packed observations as they are."""
        ids = ids_of(arrays)
        rows, own = ids["rows"], ("ids", "seconds", "obs", "packed")
        found = {name: array[:rows].copy() for name, array in arrays.items() if name not in own}
        found |= {"version": np.array(ids["version"]), "seconds": arrays["seconds"].copy()}
        if self._packer:
            return found | {"packed": arrays["packed"][: ids["packed_bytes"]].copy()}
        return found | {"obs": arrays["obs"][: rows + 1].copy()}

    def join(self, chunks: Sequence[Arrays]) -> Arrays:
        """Return chunks of K actors side by side: (T, N, ...); mind: (T, K, M); obs: (T+1, N, ...).

        The observations stay as they are until the next call. Raises: PackedFramesError for packed ones that are
        damaged.
        """
        own = ("version", "seconds", "mind", "obs", "packed")
        joined = {name: np.concatenate([c[name] for c in chunks], 1) for name in chunks[0] if name not in own}
        rows, envs = len(joined["reward"]) + 1, self.layout.envs
        shape = (rows, envs * len(chunks), *self.layout.obs_shape)
        if self._obs is None or self._obs.shape != shape:  # kept, for new memory costs more than what is done with it
            self._obs = np.empty(shape, self.layout.obs_dtype)
        for number, chunk in enumerate(chunks):
            side = self._obs[:, number * envs : (number + 1) * envs]
            if self._packer:
                self._packer.unpack(chunk["packed"].tobytes(), rows, envs, side)
            else:
                side[...] = chunk["obs"]
        return joined | {"mind": np.stack([chunk["mind"] for chunk in chunks], 1), "obs": self._obs}
