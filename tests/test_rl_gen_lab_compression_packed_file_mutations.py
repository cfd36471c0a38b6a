"""Packed files that are cut, changed at random or far larger than they look: errors in bounded time and memory."""

from __future__ import annotations

import random
import re
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
from packed_files import GOLDEN, file_of, named, refusal, repaired

from rl_gen_lab.cli.errors import CheckpointError
from rl_gen_lab.compression import coded, packed_file
from rl_gen_lab.compression.packed_file import read, write

FIRST_VERSION = GOLDEN.read_bytes()
MUTATIONS = 2_500
FEW = 20_000  # numbers that a mutated file may hold, so that each is read in milliseconds


def small_file() -> bytes:
    weights = np.random.default_rng(0).normal(size=(4, 6))
    tensors = {"w": coded.levels(weights, 0.5), "b": coded.constant(0.5, (4,)), "c": coded.plain(np.ones(2), half=True)}
    return write({"network": {"backbone": "small"}}, tensors, named=True)


def test_every_beginning_of_a_file_is_refused() -> None:
    for length in range(len(FIRST_VERSION)):
        refusal(FIRST_VERSION[:length])


def test_every_flipped_bit_is_refused() -> None:
    data = small_file()
    assert len(data) < 150
    for bit in range(8 * len(data)):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        refusal(bytes(changed))


def mutated(data: bytes, draw: random.Random) -> bytes:
    """Change a few bytes, of the header as text too, and repair the lengths and the checksum."""
    length = int.from_bytes(data[4:6], "little")
    text, rest = bytearray(data[6 : 6 + length]), bytearray(data[6 + length : -4])
    for _ in range(draw.choice((1, 1, 1, 2, 3, 8))):
        part = text if draw.random() < 0.3 else rest
        place = draw.randrange(len(part)) if part else 0
        kind = draw.randrange(6)
        if kind == 0 and part:
            part[place] ^= 1 << draw.randrange(8)
        elif kind == 1 and part:
            part[place] = draw.choice((0, 1, 3, 0x7F, 0x80, 0xFF, draw.randrange(256)))
        elif kind == 2:
            part[place:place] = draw.choice((b"\0", b"\xff" * 4, draw.randbytes(3), b"0", b",1", b'["x",[2,2]],'))
        elif kind == 3:
            del part[place : place + draw.randrange(1, 5)]
        elif kind == 4:
            part[place : place + 4] = part[draw.randrange(len(part) + 1) :][:4]
        else:
            found = list(re.finditer(rb"\d+", text))
            if found:
                digits = draw.choice(found)
                text[slice(*digits.span())] = str(draw.choice((0, 1, 2, 3, 7, 100, 65_536, 10**9, -1))).encode()
    if draw.random() < 0.1:
        del rest[draw.randrange(len(rest) + 1) :]
    return file_of(bytes(text[:60_000]), bytes(rest))


@pytest.mark.parametrize("seed", range(2))
def test_mutated_files_with_a_right_checksum_are_refused_or_finite_and_canonical(seed: int) -> None:
    draw = random.Random(seed)
    accepted, refused = 0, set()
    for number in range(MUTATIONS // 2):
        data = mutated(FIRST_VERSION if number % 2 else small_file(), draw)
        try:
            packed = read(data, most_numbers=FEW)
        except CheckpointError as error:
            assert "\n" not in str(error)
            refused.add(re.sub(r"[\d,]+|'.*'|: .*", "", str(error)))
            continue
        accepted += 1
        assert all(np.isfinite(values).all() for values in packed.values().values())
        assert all(values.dtype == np.float32 for values in packed.values().values())
        assert write(packed.header, packed.tensors, named=True) == data
    assert accepted > MUTATIONS // 40
    assert len(refused) >= 4


def test_a_stream_cut_short_or_made_longer_is_refused_or_another_network() -> None:
    body = FIRST_VERSION[:-4]
    original = read(FIRST_VERSION).values()
    for length in range(len(body)):
        try:
            other = read(repaired(body[:length]), most_numbers=FEW).values()
        except CheckpointError:
            continue
        assert any(not np.array_equal(other[name], original[name]) for name in original)
    for more in (b"\0", b"\1", b"\0\0\0\0\0\0\0\0", b"\xff", body):
        assert "too short or too long" in refusal(repaired(body + more))


def test_a_stream_that_goes_on_for_ever_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = file_of(named([1 << 21, 1]), b"\x03\x80\x3f")
    monkeypatch.setattr(packed_file, "MOST_STEPS", 1_000)
    began = time.process_time()
    assert "it takes more than 1,000 steps" in refusal(rows)
    assert time.process_time() - began < 0.5  # all rows take 2 s


BOMBS = """
    import json, resource, sys, time, zlib
    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
    from rl_gen_lab.cli.errors import CheckpointError
    from rl_gen_lab.compression import packed_file
    from rl_gen_lab.compression.packed_file import read

    def file_of(shapes, rest, pad=0):
        header = {"tensors": [[str(n), shape] for n, shape in enumerate(shapes)]} | ({"a": "x" * pad} if pad else {})
        text = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
        body = b"RLZ\\1" + len(text).to_bytes(2, "little") + text + rest
        return body + zlib.crc32(body).to_bytes(4, "little")

    def outcome(data):
        began = time.process_time()
        try:
            tensors = read(data).values()
            assert sum(tensor.size for tensor in tensors.values()) <= 1 << 24
            word = "read"
        except CheckpointError as error:
            word = "refused"
        return f"{word} {time.process_time() - began:.3f}"
"""


def in_a_small_process(code: str) -> list[tuple[str, float]]:
    """Run code behind `BOMBS` in a process with 1 GB of memory; return its outcomes."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(BOMBS) + textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=250,
        env={"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[1])},
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    return [(word, float(seconds)) for word, seconds in map(str.split, done.stdout.splitlines())]


def test_bombs_are_refused_at_once_in_little_memory() -> None:
    outcomes = in_a_small_process(
        r"""
        levels, codebook, constant = b"\3\x80\x3f", b"\4\0\0\0", b"\2\0\0\0\0"
        million = 1_000_000
        for shapes, rest, pad in (
            ([[1000, 1000, 1000]], levels, 0),
            ([[1 << 13, 1 << 12]], levels, 0),  # rows of zeros: 2^25 numbers in 50 bytes
            ([[1 << 12, 1 << 12]], levels, 0),
            ([[1 << 24, 1]], levels, 0),
            ([[1, 1 << 24]], levels + b"\xff", 0),
            ([[1 << 24]] * 2, levels * 2, 60_000),
            ([[million]] * 3_000, levels * 3_000, 0),
            ([[1 << 24]], constant, 0),
            ([[1 << 12, 1 << 12, 0, 1 << 12]], levels, 0),
            ([[1 << 24, 1 << 24, 1 << 24, 1 << 24, 0]], constant, 0),
            ([[1 << 24]], b"\0" * 100, 60_000),  # floats that are not there
            ([[2, million]], b"\x23\x80\x3f" + b"\xff" * 99, 0),
        ):
            print(outcome(file_of(shapes, rest, pad)))
        for shapes, rest in (
            ([[1 << 24, 0]], levels),  # rows without columns hold nothing
            ([[0, 1 << 24]] * 2_000, levels * 2_000),
            ([[1 << 10, 1 << 10]], constant),
            ([[0, 2]] * 4_000, codebook * 4_000),
            ([[]] * 5_000, levels * 5_000),
        ):
            print(outcome(file_of(shapes, rest)))
        """
    )
    assert [word for word, _ in outcomes] == ["refused"] * 12 + ["read"] * 5
    assert max(seconds for _, seconds in outcomes) < 3


@pytest.mark.slow
def test_the_worst_files_that_are_allowed_take_bounded_time_and_memory() -> None:
    outcomes = in_a_small_process(
        r"""
        pad = 400
        packed_file.MOST_STEPS = 1 << 21  # an eighth of what is allowed
        print(outcome(file_of([[1 << 21, 1]], b"\3\x80\x3f", pad)))  # each row of zeros a bit
        print(outcome(file_of([[1, (1 << 21) - 1]], b"\x13\x80\x3f\x80", pad)))  # no row of zeros, but all are 0
        print(outcome(file_of([[1 << 24]], b"\0" + bytes(1 << 26))))
        """
    )
    assert [word for word, _ in outcomes] == ["read", "refused", "read"]
    assert max(seconds for _, seconds in outcomes) < 8  # 2.5 on a quiet machine
