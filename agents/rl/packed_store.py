"""The frames of a replay memory, packed in the computer's memory: a hundredth of the bytes, unpacked when sampled.

Each environment's frames of CHUNK vector steps are one packed chunk. The chunk that is being written lies unpacked; in
a full ring it begins as the old one that it overwrites step by step, so that what is older than the cursor stays.
"""

from __future__ import annotations

from threading import Lock
from typing import Any

import numpy as np
import torch
from torch import Tensor

from agents.rl.packed_frames import FramePacker

# Frames of a chunk: longer ones take fewer bytes, but each is unpacked whole for one of its frames.
CHUNK = 16
# What a packed frame is taken to need when free memory is checked: a twentieth of its pixels, several times what games
# took (results/packed_frames.csv).
SHARE = 1 / 20


class PackedStore:
    """Frames by slot number, in place of a tensor (slots + 1, width) uint8 whose last row is zero."""

    def __init__(self, length: int, num_envs: int, frame_shape: tuple[int, ...]) -> None:
        """length: vector steps of the ring."""
        self.length, self.num_envs = length, num_envs
        self._packer = FramePacker(frame_shape, checksum=False)
        chunks = -(-length // CHUNK)
        self._chunks: list[list[bytes]] = [[b""] * num_envs for _ in range(chunks)]  # b"": zeros, or the open one
        self._open = 0
        self._rows = np.zeros((num_envs, CHUNK, self._packer.frame_bytes), np.uint8)  # of the open chunk
        self._lock = Lock()  # minibatches are prepared in another thread

    dtype = torch.uint8

    @property
    def nbytes(self) -> int:
        """Memory of all frames [bytes]."""
        return self._rows.nbytes + sum(data.__sizeof__() for chunk in self._chunks for data in chunk)

    def __setitem__(self, at: slice, frames: Tensor) -> None:
        """Write the slots of one vector step. frames: (N, width) uint8."""
        chunk, offset = divmod(at.start // self.num_envs, CHUNK)
        with self._lock:
            if chunk != self._open:
                self._turn_to(chunk)
            self._rows[:, offset] = frames.numpy()

    def __getitem__(self, at: slice | Tensor) -> Tensor:
        """Return the frames of slots: (B, width) uint8."""
        if isinstance(at, slice):
            at = torch.arange(*at.indices(self.length * self.num_envs))
        return self.index_select(0, at)

    def index_select(self, dim: int, rows: Tensor) -> Tensor:
        """Return the frames of slots (B,), zeros for the slot behind the last: (B, width) uint8. dim: 0."""
        step, env = np.divmod(rows.numpy(), self.num_envs)
        chunk, offset = np.divmod(step, CHUNK)
        found = np.empty((len(rows), self._packer.frame_bytes), np.uint8)
        key = np.where(step == self.length, -1, chunk * self.num_envs + env)
        order = np.argsort(key, kind="stable")
        begins = np.flatnonzero(np.diff(key[order], prepend=-2))
        with self._lock:
            for places in np.split(order, begins[1:]):
                if not len(places) or (number := int(key[places[0]])) < 0:
                    found[places] = 0
                else:
                    of_chunk = offset[places]
                    found[places] = self._frames(*divmod(number, self.num_envs), int(of_chunk.max()) + 1)[of_chunk]
        return torch.from_numpy(found)

    def state_dict(self) -> dict[str, Any]:
        """Return all chunks, packed, and the open one as it is."""
        sizes = np.array([[len(data) for data in chunk] for chunk in self._chunks], np.int64)
        data = np.frombuffer(b"".join(data for chunk in self._chunks for data in chunk), np.uint8)
        return {"sizes": sizes, "data": data, "open": self._open, "rows": self._rows}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what `state_dict` returned."""
        ends = np.cumsum(state["sizes"].ravel()).reshape(state["sizes"].shape)
        data = state["data"].tobytes()
        self._chunks = [
            [data[end - size : end] for end, size in zip(*pair, strict=True)]
            for pair in zip(ends, state["sizes"], strict=True)
        ]
        self._open = range(len(self._chunks)).index(int(state["open"]))
        self._rows[:] = state["rows"]

    def _steps(self, chunk: int) -> int:
        return min(CHUNK, self.length - chunk * CHUNK)

    def _frames(self, chunk: int, env: int, first: int = CHUNK) -> np.ndarray:
        """Return the frames of a chunk, (steps, width), at least so many `first` ones."""
        steps, data = self._steps(chunk), self._chunks[chunk][env]
        if chunk == self._open:
            return self._rows[env, :steps]
        if not data:
            return np.zeros((steps, self._packer.frame_bytes), np.uint8)
        return self._packer.unpack(data, steps, first).reshape(-1, self._packer.frame_bytes)

    def _turn_to(self, chunk: int) -> None:
        """Pack the open chunk and open another."""
        steps, shape = self._steps(self._open), self._packer.frame_shape
        self._chunks[self._open] = [self._packer.pack(rows[:steps].reshape(steps, *shape)) for rows in self._rows]
        old = [self._frames(chunk, env) for env in range(self.num_envs)]
        self._open = chunk
        self._chunks[chunk] = [b""] * self.num_envs
        self._rows[:, : self._steps(chunk)] = np.stack(old)
