"""Packed frames: exactly reversible, small where little moves, and damage is noticed."""

from __future__ import annotations

import sys
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from agents.rl import packed_frames
from agents.rl.packed_frames import Coder, FramePacker, PackedFramesError

CODERS: tuple[Coder, ...] = ("zlib", "zstd") if packed_frames.zstandard() else ("zlib",)
SHAPE = (1, 84, 84)


def game(frames: int = 64, seed: int = 0) -> np.ndarray:
    """A dot that moves by a pixel a frame over a picture that stays."""
    rng = np.random.default_rng(seed)
    seen = np.repeat(rng.integers(0, 4, (1, *SHAPE), np.uint8) * 60, frames, axis=0)
    for number in range(frames):
        seen[number, 0, 10 + number % 64, 20:22] = 236
    return seen


@pytest.mark.parametrize("coder", CODERS)
@settings(max_examples=60, deadline=None)
@given(
    frames=st.tuples(*(st.integers(1, 9) for _ in range(4))).flatmap(
        lambda shape: arrays(np.uint8, shape, elements=st.integers(0, 255))
    )
)
def test_what_is_unpacked_is_what_was_packed(coder: Coder, frames: np.ndarray) -> None:
    packer = FramePacker(frames.shape[1:], coder)
    back = packer.unpack(packer.pack(frames), len(frames))
    assert back.dtype == np.uint8 and back.shape == frames.shape and np.array_equal(back, frames)
    assert back.flags.writeable


@pytest.mark.parametrize("coder", CODERS)
def test_games_become_small_and_views_are_packed_as_their_copies(coder: Coder) -> None:
    packer, frames = FramePacker(SHAPE, coder), game()
    data = packer.pack(frames)
    assert len(data) < 64 * 100 < len(zlib.compress(frames[0].tobytes(), 9)) * 64, "single frames would take more"
    stack = np.repeat(frames, 4, axis=1)
    assert packer.pack(stack[:, -1:]) == data
    assert np.array_equal(packer.unpack(data, 64), frames)


@pytest.mark.parametrize("coder", CODERS)
def test_damage_and_another_number_of_frames_are_noticed(coder: Coder) -> None:
    packer = FramePacker(SHAPE, coder)
    data = packer.pack(game(8))
    for count in (7, 9):
        with pytest.raises(PackedFramesError):
            packer.unpack(data, count)
    broken = [data[:-1], data[: len(data) // 2], data + b"\x00", data[:1], b"", b"\x07" + data[1:]]
    for place in range(1, len(data), 7):
        broken.append(data[:place] + bytes([data[place] ^ 0x55]) + data[place + 1 :])
    for bad in broken:
        try:
            back = packer.unpack(bad, 8)
        except PackedFramesError as error:
            assert "\n" not in str(error)
        else:  # a bit that the coder's header has no use for
            assert np.array_equal(back, game(8))


@pytest.mark.parametrize(
    "frames", [np.zeros((0, *SHAPE), np.uint8), np.zeros((3, 1, 84, 83), np.uint8), np.zeros((3, *SHAPE), np.float32)]
)
def test_other_frames_are_refused(frames: np.ndarray) -> None:
    with pytest.raises(PackedFramesError, match="uint8"):
        FramePacker(SHAPE).pack(frames)


def test_without_the_package_zlib_packs_and_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    by_zstd = FramePacker(SHAPE, "zstd").pack(game(4)) if "zstd" in CODERS else b"\x01rest"
    monkeypatch.setitem(sys.modules, "zstandard", None)
    packer = FramePacker(SHAPE)
    assert packer.coder == "zlib"
    assert np.array_equal(packer.unpack(packer.pack(game(4)), 4), game(4))
    with pytest.raises(PackedFramesError, match="make setup"):
        packer.unpack(by_zstd, 4)
    with pytest.raises(PackedFramesError, match="make setup"):
        FramePacker(SHAPE, "zstd")


@pytest.mark.skipif("zstd" not in CODERS, reason="zstandard is not installed")
def test_both_kinds_are_read_by_one_packer_and_zstandard_is_the_smaller() -> None:
    packer = FramePacker(SHAPE)
    by_zlib = FramePacker(SHAPE, "zlib").pack(game())
    assert packer.coder == "zstd" and np.array_equal(packer.unpack(by_zlib, 64), game())
    assert len(packer.pack(game())) < len(by_zlib)
