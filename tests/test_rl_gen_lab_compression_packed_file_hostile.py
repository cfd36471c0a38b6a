"""Packed files that are wrong in one place, with a right checksum: each is refused in one line that says what it is."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from packed_files import file_of, named, refusal, repaired

from agents.compression.policy_file import PackedPolicy
from agents.training.pretrained import read_backbone
from rl_gen_lab import pack
from rl_gen_lab.cli.errors import CheckpointError
from rl_gen_lab.compression import coded, packed_file
from rl_gen_lab.compression.coded import KINDS
from rl_gen_lab.compression.packed_file import BY_ROW, NAMES, PREDICTED, REPEATED, write
from rl_gen_lab.training.load import read_model

ONE = b"\x80\x3f"  # 1.0 as a distance of levels


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"R",
        b"RLZ",
        b"RLZ\1",
        b"RLZ\1\0\0\0\0\0\0",
        b"\x89PNG\r\n\x1a\n" + bytes(60),
        b"PK\3\4" + bytes(60),
        bytes(99),
    ],
)
def test_other_files_are_refused(data: bytes) -> None:
    refusal(data)
    refusal(repaired(data))


def test_a_pickle_is_refused_and_not_executed(tmp_path: Path) -> None:
    class Harm:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "harm",)

    data = pickle.dumps(Harm())
    assert "does not begin with RLZ" in refusal(data)
    refusal(file_of(data))
    refusal(file_of({}, data))
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize("version", [0, 2, 255])
def test_other_versions_are_named(version: int) -> None:
    message = refusal(file_of({NAMES: []}, version=version))
    assert f"version {version}; this program reads version 1" in message


@pytest.mark.parametrize("kind", [len(KINDS), 9, 15, 0x80, 0x83, 0xFF])
def test_unknown_kinds_are_named(kind: int) -> None:
    assert f"unknown kind {kind:#04x}" in refusal(file_of(named([2]), bytes([kind]) + bytes(40)))


FLOAT32, FLOAT16, CONSTANT, LEVELS, CODEBOOK = range(5)


@pytest.mark.parametrize(
    ("first", "shape"),
    [
        *((kind | flag, [2, 2]) for kind in (FLOAT32, FLOAT16, CONSTANT) for flag in (PREDICTED, REPEATED, BY_ROW)),
        (CODEBOOK | BY_ROW, [2, 2]),
        *((LEVELS | BY_ROW, shape) for shape in ([], [1], [1, 4], [0, 4])),
        *((kind | REPEATED, shape) for kind in (LEVELS, CODEBOOK) for shape in ([], [4], [1, 4], [0, 4])),
    ],
)
def test_flags_that_do_not_fit_are_refused(first: int, shape: list[int]) -> None:
    rest = bytes([first]) + (b"\0" if first & 0x0F == CODEBOOK else b"") + bytes(16)
    assert "flags of a tensor do not fit it" in refusal(file_of(named(shape), rest))


@pytest.mark.parametrize(
    "rest",
    [
        bytes([FLOAT32]) + b"\0\0\x80\x3f\0\0\xc0\x7f",
        bytes([FLOAT32]) + b"\0\0\x80\xff\0\0\0\0",
        bytes([FLOAT16]) + b"\0\x7e\0\0",
        bytes([FLOAT16]) + b"\0\0\0\xfc",
        bytes([CONSTANT]) + b"\0\0\x80\x7f",
        bytes([LEVELS]) + b"\x80\x7f",
        bytes([LEVELS]) + b"\xc0\xff",
        bytes([LEVELS | BY_ROW]) + ONE + b"\xc1\x7f",
        bytes([CODEBOOK, 1]) + b"\0\0\1\x7c",
    ],
)
def test_floats_that_are_not_finite_are_refused(rest: bytes) -> None:
    assert "not finite" in refusal(file_of(named([2]), rest))


def test_values_that_would_overflow_are_refused() -> None:
    assert "too far apart" in refusal(file_of(named([2]), bytes([LEVELS]) + b"\x7f\x7f"))


def test_a_code_outside_its_codebook_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for place in (-1, 3, 255, 256, 2**31 - 1):
        with monkeypatch.context() as patch:
            patch.setattr(packed_file, "check_places", lambda tensor: None)
            data = write({}, {"x": coded.codebook(np.array([0, 2, place]), np.zeros(3))}, named=True)
        assert "outside its codebook" in refusal(data)


@pytest.mark.parametrize("largest", [2**31 - 1, -(2**31) + 1])
def test_differences_that_add_up_to_too_much_are_refused(largest: int) -> None:
    tensor = coded.CodedTensor("levels", (1, 2), coded.stored_step(1.0), np.full((1, 2), largest, np.int32))
    data = bytearray(write({}, {"x": tensor}, named=True))
    start = 6 + int.from_bytes(data[4:6], "little")
    assert data[start] == LEVELS
    data[start] |= PREDICTED
    assert "too large" in refusal(repaired(bytes(data[:-4])))


@pytest.mark.parametrize("end", [1, 2, 4])
def test_a_file_that_ends_within_a_tensor_is_refused(end: int) -> None:
    for rest in (bytes([FLOAT32]) + bytes(8), bytes([LEVELS]) + ONE, bytes([CODEBOOK, 200]) + bytes(300)):
        assert "ends within a tensor" in refusal(file_of(named([2]), rest[:-end]))
    assert "ends within a tensor" in refusal(file_of(named([2])))


@pytest.mark.parametrize(
    "text",
    [
        b'{"a":NaN,"tensors":[]}',
        b'{"a":Infinity,"tensors":[]}',
        b'{"a":[-Infinity],"tensors":[]}',
        b'{"a":1e999,"tensors":[]}',
        b'{"a":1,"a":1,"tensors":[]}',
        b'{"tensors":[],"a":1}',
        b'{"a":1, "tensors":[]}',
        b'{"a":1.00,"tensors":[]}',
        b'{"a":"\xc3\xbc","tensors":[]}',
        b'\xef\xbb\xbf{"tensors":[]}',
        b'{"a":"\\u00FC","tensors":[]}',
        b'{"tensors":[]}\n',
        b'{"tensors":[]',
        b'{"tensors":[],}',
        b"",
        b"[]",
        b"null",
        b'"tensors"',
        b'{"a":' + b"9" * 5_000 + b',"tensors":[]}',
        b"[" * 60_000,
        b'{"a":' + b"[" * 30_000 + b"]" * 30_000 + b',"tensors":[]}',
        b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    ],
    ids=lambda text: text[:24].decode("latin1"),
)
def test_headers_that_are_not_canonical_json_are_refused(text: bytes) -> None:
    assert "header cannot be read" in refusal(file_of(text))


def test_a_header_longer_than_the_file_is_refused() -> None:
    text = b'{"tensors":[]}'
    for length in (len(text) + 1, len(text) + 4, 0xFFFF):
        data = repaired(b"RLZ\1" + length.to_bytes(2, "little") + text)
        assert "longer than the file" in refusal(data)


@pytest.mark.parametrize(
    "listed",
    [None, 3, "x", {}, [3], [["x"]], [["x", [2], 1]], [[3, [2]]], [["x", 2]], [["x", [1]], ["x", [1]]], [["x", None]]],
)
def test_lists_of_tensors_that_make_no_sense_are_refused(listed: Any) -> None:
    assert "list of tensors cannot be read" in refusal(file_of({NAMES: listed}, bytes(100)))


@pytest.mark.parametrize(
    "shape",
    [[-1], [2.0], [True], ["2"], [None], [[2]], [1] * 9, [10**9], [1 << 24, 2], [1 << 13, 0, 1 << 12], [10**400]],
)
def test_impossible_shapes_are_refused(shape: list[Any]) -> None:
    assert "tensor 't0' has an impossible shape" in refusal(file_of(named(shape), bytes(100)))


def test_a_name_of_many_lines_makes_no_message_of_many_lines() -> None:
    refusal(file_of({NAMES: [["a\nb\u2028\x1b[2J" * 1_000, [-1]]]}))


def test_a_pipe_an_endless_file_and_a_huge_one_are_refused_by_name(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.rlz")
    (tmp_path / "endless.rlz").symlink_to("/dev/zero")
    with (tmp_path / "huge.rlz").open("wb") as file:
        file.truncate(2**40)
    for name in ("pipe", "endless", "huge"):
        file_name = tmp_path / f"{name}.rlz"
        for read in (read_model, lambda path: PackedPolicy.read(path), pack.explain, read_backbone):
            with pytest.raises(CheckpointError, match=f"{name}.rlz"):
                read(file_name)
