"""Frames of one environment in a row, packed without loss: each xor the frame before, then a fast general coder.

Little moves between two frames, so nearly all of a difference is zeros. A chunk begins with a whole frame: it is read
without any other, so that one that is lost costs no other. The coder is Zstandard at level 1, where the package
`zstandard` is installed (extra `lab`), else zlib at level 1, which takes about twice the bytes and several times the
time. Both kinds are told apart by their first byte, and hold a checksum.
"""

from __future__ import annotations

import importlib
import zlib
from typing import Any, Literal

import numpy as np

Coder = Literal["zstd", "zlib"]
ZLIB, ZSTD = b"\x00", b"\x01"
LEVEL = 1  # of both coders


class PackedFramesError(ValueError):
    """Bytes that are no packed chunk of the frames expected."""


def zstandard() -> Any:
    """Return the package of Zstandard, or None where it is not installed."""
    try:
        return importlib.import_module("zstandard")
    except ModuleNotFoundError:
        return None


class FramePacker:
    """Packs and unpacks chunks of frames of one shape. One thread may pack and another unpack, but no two do the same.

    frame_shape: of a frame, such as (C, H, W); coder: by which chunks are packed, None for the best that is installed;
    chunks of both kinds are read where the package is there. Raises: PackedFramesError for a coder that is absent.
    """

    def __init__(self, frame_shape: tuple[int, ...], coder: Coder | None = None) -> None:
        self.frame_shape = frame_shape
        self.frame_bytes = int(np.prod(frame_shape))
        self._zstandard = zstandard()
        self.coder: Coder = coder or ("zlib" if self._zstandard is None else "zstd")
        if self._zstandard is not None:
            self._compressor = self._zstandard.ZstdCompressor(level=LEVEL, write_checksum=True)
            self._decompressor = self._zstandard.ZstdDecompressor()
        elif self.coder == "zstd":
            raise PackedFramesError(ABSENT)

    def pack(self, frames: np.ndarray) -> bytes:
        """Pack a chunk. frames: (T, *frame_shape) uint8, one after another of one environment, T at least 1."""
        if frames.shape[1:] != self.frame_shape or not len(frames) or frames.dtype != np.uint8:
            raise PackedFramesError(f"frames {frames.shape} {frames.dtype} are not (T, {self.frame_shape}) uint8")
        rows = frames.reshape(len(frames), -1)
        differences = np.empty(rows.shape, np.uint8)
        differences[0] = rows[0]
        np.bitwise_xor(rows[1:], rows[:-1], out=differences[1:])
        if self.coder == "zstd":
            return ZSTD + self._compressor.compress(differences)
        return ZLIB + zlib.compress(differences.data, LEVEL)

    def unpack(self, data: bytes, count: int) -> np.ndarray:
        """Return the chunk (count, *frame_shape) uint8 that `pack` was given.

        Raises: PackedFramesError where the bytes are damaged, hold another number of frames, or cannot be read here.
        """
        expected = count * self.frame_bytes
        rows = np.frombuffer(self._differences(data, expected), np.uint8)
        if len(rows) != expected:
            raise PackedFramesError(f"a packed chunk holds {len(rows)} bytes in place of {count} frames")
        frames = rows.reshape(count, -1).copy()  # one that can be written
        for place in range(1, count):  # several times as fast as `bitwise_xor.accumulate`
            np.bitwise_xor(frames[place], frames[place - 1], out=frames[place])
        return frames.reshape(count, *self.frame_shape)

    def _differences(self, data: bytes, expected: int) -> bytes:
        """Decode, without ever allocating much more than expected."""
        kind, coded = data[:1], memoryview(data)[1:]
        try:
            if kind == ZLIB:
                decoder = zlib.decompressobj()
                decoded = decoder.decompress(coded, expected + 1)
                if decoder.eof and not decoder.unused_data:
                    return decoded
            elif kind == ZSTD and self._zstandard is None:
                raise PackedFramesError(ABSENT)
            elif kind == ZSTD and self._zstandard.get_frame_parameters(coded).content_size == expected:
                return self._decompressor.decompress(coded, allow_extra_data=False)
        except zlib.error as error:
            raise PackedFramesError(f"a packed chunk is damaged: {error}") from error
        except Exception as error:
            if self._zstandard is None or not isinstance(error, self._zstandard.ZstdError):
                raise
            raise PackedFramesError(f"a packed chunk is damaged: {error}") from error
        raise PackedFramesError(f"a packed chunk is damaged or does not hold {expected} bytes")


ABSENT = "chunks packed by Zstandard need the package zstandard: make setup"
