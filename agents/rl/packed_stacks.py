"""Rollouts of stacks of frames, packed: each frame goes once, as what differs from the one before.

Whether a stack goes on from the one before is seen in the frames, not known from episodes, so that packing is exact
for whatever an environment shows.
"""

from __future__ import annotations

import numpy as np

from agents.rl.packed_frames import FramePacker, PackedFramesError

LENGTH_BYTES = 4


class StackPacker:
    """Packs rollouts of stacks of S frames of C channels.

    obs_shape: (S*C, H, W) of an observation, oldest frame first; channels: C of a frame.
    """

    def __init__(self, obs_shape: tuple[int, ...], channels: int) -> None:
        self.obs_shape, self.channels, self.stack = obs_shape, channels, obs_shape[0] // channels
        self.frame_shape = (channels, *obs_shape[1:])
        self._packer = FramePacker(self.frame_shape)

    def most_bytes(self, rows: int, envs: int) -> int:
        """Return how many bytes a packed rollout may have, where no frame resembles another."""
        raw = rows * envs * int(np.prod(self.obs_shape))
        return raw + raw // 128 + envs * (LENGTH_BYTES + rows + 1_024)  # the coders' own overhead is below

    def pack(self, obs: np.ndarray) -> bytes:
        """Pack observations (T, N, S*C, H, W) uint8, of one environment after the other."""
        parts = []
        for rows in obs.swapaxes(0, 1):
            whole = np.ones(len(rows), bool)  # the rows of which all frames are new
            for t in range(1, len(rows)):
                whole[t] = not np.array_equal(rows[t, : -self.channels], rows[t - 1, self.channels :])
            frames = [row if new else row[-self.channels :] for row, new in zip(rows, whole, strict=True)]
            data = self._packer.pack(np.concatenate(frames).reshape(-1, *self.frame_shape))
            parts += [len(data).to_bytes(LENGTH_BYTES, "little"), whole.tobytes(), data]
        return b"".join(parts)

    def unpack(self, data: bytes, rows: int, envs: int, into: np.ndarray | None = None) -> np.ndarray:
        """Return the observations (T, N, S*C, H, W) that `pack` was given, in an array of that shape if one is given.

        Raises: PackedFramesError.
        """
        obs = np.empty((rows, envs, *self.obs_shape), np.uint8) if into is None else into
        place = 0
        for n in range(envs):
            begin = place + LENGTH_BYTES + rows
            place_of_next = begin + int.from_bytes(data[place : place + LENGTH_BYTES], "little")
            if place_of_next > len(data):
                raise PackedFramesError(f"a packed rollout ends within environment {n} of {envs}")
            whole = np.frombuffer(data, bool, rows, place + LENGTH_BYTES)
            count = int(np.where(whole, self.stack, 1).sum())
            frames = self._packer.unpack(data[begin:place_of_next], count)
            frames, last = frames.reshape(-1, *self.obs_shape[1:]), 0
            for t in range(rows):
                last += self.obs_shape[0] if whole[t] else self.channels
                obs[t, n] = frames[last - self.obs_shape[0] : last]
            place = place_of_next
        return obs
