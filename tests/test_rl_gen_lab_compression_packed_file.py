"""The packed file: exact round trips, one file only for each network, a format that stays, and its limits."""

from __future__ import annotations

import json
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packed_files import GOLDEN

from rl_gen_lab.cli.errors import CheckpointError, ConfigError
from rl_gen_lab.compression import coded, packed_file
from rl_gen_lab.compression.coded import KINDS, CodedTensor, stored_step
from rl_gen_lab.compression.packed_file import NAMES, Packed, read, read_header, write

HEADER = {"network": "one of each kind", "z": [1, 0.5, None]}
shapes = st.lists(st.integers(0, 4), max_size=4).map(tuple)
names = st.text(max_size=8)
headers = st.dictionaries(
    st.text(max_size=5).filter(lambda key: key != NAMES),
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    max_size=4,
)


@st.composite
def tensors(draw: st.DrawFn) -> CodedTensor:
    shape, kind = draw(shapes), draw(st.sampled_from(KINDS))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    array = random.laplace(size=shape).astype(np.float32)
    if kind == "constant":
        return coded.constant(draw(st.floats(width=32, allow_nan=False, allow_infinity=False)), shape)
    if kind == "codebook":
        count = draw(st.integers(1, 256))
        return coded.codebook(random.integers(0, count, shape), random.normal(size=count))
    if kind == "levels":
        return draw_levels(draw, random, array)
    return coded.plain(array, half=kind == "float16")


def draw_levels(draw: st.DrawFn, random: np.random.Generator, array: np.ndarray) -> CodedTensor:
    by_row = array.ndim > 0 and len(array) > 0 and draw(st.booleans())
    step = random.uniform(1e-3, 1, len(array)) if by_row else draw(st.floats(1e-3, 10))
    repeated = array.ndim > 1 and len(array) > 1 and draw(st.booleans())
    if repeated:
        array = np.broadcast_to(array[:1], array.shape)
    tensor = coded.levels(array, step)
    assert tensor.codes is not None
    codes = np.broadcast_to(tensor.codes[:1], array.shape) if repeated else tensor.codes
    return CodedTensor("levels", array.shape, tensor.numbers, codes, draw(st.booleans()), repeated)


def one_of_each_kind() -> dict[str, CodedTensor]:
    frame = np.array([[90, 90, 91], [200, 201, 0]], np.float32)
    return {
        "conv.weight": CodedTensor(
            "levels", (3, 2, 2), stored_step(0.1), np.arange(-5, 7, dtype=np.int32).reshape(3, 2, 2) // 2
        ),
        "rows": coded.levels(np.array([[1.0, -2.0], [0.25, 0.0]]), np.array([1.0, 0.25])),
        "mean": coded.image(np.stack([frame, frame])),
        "book": coded.codebook(np.array([[0, 2], [1, 2]]), np.array([0.0, 0.5, -1.5])),
        "half": coded.plain(np.array([0.5, -3.0]), half=True),
        "float": coded.plain(np.array([1.5, 1e-3])),
        "scale": coded.plain(np.array(0.25)),
        "same": coded.constant(-1.0, (5,)),
        "none": coded.levels(np.zeros((0, 3)), 1.0),
        "large": CodedTensor("levels", (1, 3), stored_step(2.0), np.array([[2**31 - 1, 0, -(2**31) + 1]], np.int32)),
        "zeros": coded.levels(np.zeros((4, 40)), 1.0),
        "many": CodedTensor(
            "levels", (4, 25), stored_step(0.5), (np.arange(100, dtype=np.int32) ** 2 % 11 // 3 - 1).reshape(4, 25)
        ),
    }


def assert_equal(found: CodedTensor, expected: CodedTensor) -> None:
    assert (found.kind, found.shape) == (expected.kind, expected.shape)
    assert (found.predicted, found.repeated) == (expected.predicted, expected.repeated)
    assert found.numbers.tobytes() == expected.numbers.tobytes()
    if expected.codes is None:
        assert found.codes is None
    else:
        assert found.codes is not None
        assert found.codes.dtype == np.int32
        np.testing.assert_array_equal(found.codes, expected.codes)
    assert found.values().tobytes() == expected.values().tobytes()


@settings(max_examples=35)
@given(headers, st.dictionaries(names, tensors(), max_size=5))
def test_networks_come_back_and_are_written_as_the_same_file(
    header: dict[str, Any], network: dict[str, CodedTensor]
) -> None:
    data = write(header, network, named=True)
    packed = read(data)
    assert {key: value for key, value in packed.header.items() if key != NAMES} == header
    assert list(packed.tensors) == list(network)
    for name, tensor in network.items():
        assert_equal(packed.tensors[name], tensor)
    assert write(packed.header, packed.tensors, named=True) == data


@settings(max_examples=30)
@given(st.dictionaries(names, tensors(), min_size=1, max_size=4))
def test_a_header_that_stands_for_the_tensors_makes_names_unnecessary(network: dict[str, CodedTensor]) -> None:
    data = write(HEADER, network, named=False)
    assert len(data) < len(write(HEADER, network, named=True))
    packed = read(data, lambda header: {name: tensor.shape for name, tensor in network.items()})
    assert packed.header == HEADER
    for name, tensor in network.items():
        assert_equal(packed.tensors[name], tensor)
    assert write(packed.header, packed.tensors, named=False) == data
    with pytest.raises(CheckpointError, match="does not name its tensors"):
        read(data)


def test_the_first_version_is_written_as_it_always_was() -> None:
    assert write(HEADER, one_of_each_kind(), named=True) == GOLDEN.read_bytes()


def test_the_first_version_is_read_as_it_always_was() -> None:
    packed = read(GOLDEN.read_bytes())
    assert {key: value for key, value in packed.header.items() if key != NAMES} == HEADER
    values = packed.values()
    step = 0.10009765625  # 0.1 in 16 bits
    frame = [[90, 90, 91], [200, 201, 0]]
    expected: dict[str, Any] = {
        "conv.weight": [[[-3 * step, -2 * step], [-2 * step, -step]], [[-step, 0], [0, step]]],
        "rows": [[1, -2], [0.25, 0]],
        "mean": [frame, frame],
        "book": [[0, -1.5], [0.5, -1.5]],
        "half": [0.5, -3],
        "float": [1.5, 1e-3],
        "scale": 0.25,
        "same": [-1] * 5,
        "none": np.zeros((0, 3)),
        "large": [[2.0**32, 0, -(2.0**32)]],
        "zeros": np.zeros((4, 40)),
        "many": [[(n * n % 11 // 3 - 1) / 2 for n in range(first, first + 25)] for first in (0, 25, 50, 75)],
    }
    expected["conv.weight"].append([[step, 2 * step], [2 * step, 3 * step]])
    assert list(values) == list(expected)
    for name, value in expected.items():
        np.testing.assert_array_equal(values[name], np.array(value, np.float32), strict=True)


def test_the_layout_is_the_one_that_the_module_describes() -> None:
    tensor = CodedTensor("levels", (1, 1), stored_step(1.0), np.zeros((1, 1), np.int32))
    book = coded.codebook(np.array([0]), np.array([0.0, 1.0]))
    data = write({"b": 1, "a": "ü"}, {"x": tensor, "y": book, "z": coded.constant(2.0, (3,))}, named=False)
    text = rb'{"a":"\u00fc","b":1}'
    table = b"\x03\x80\x3f" + b"\x04\x01\x00\x00\x00\x3c" + b"\x02\x00\x00\x00\x40"
    body = b"RLZ\x01" + len(text).to_bytes(2, "little") + text + table  # all is 0: the stream is empty
    assert data == body + zlib.crc32(body).to_bytes(4, "little")


def test_tensors_stand_in_the_order_in_which_they_are_given() -> None:
    network = one_of_each_kind()
    backwards = dict(reversed(network.items()))
    data = write(HEADER, backwards, named=True)
    assert data != write(HEADER, network, named=True)
    assert list(read(data).tensors) == list(backwards)


def test_the_parts_add_up_to_the_file() -> None:
    network = one_of_each_kind() | {"weights": coded.levels(np.random.default_rng(1).normal(size=(30, 40)), 0.5)}
    data = write(HEADER, network, named=True)
    parts = read(data).bytes_by_part
    assert sum(parts.values()) == pytest.approx(len(data), abs=1.5)
    assert parts["checksum"] == 4
    assert parts["header"] == read_header(data)[1] == 6 + int.from_bytes(data[4:6], "little")
    assert parts["float floats"] == 1 + 8
    assert parts["weights floats"] == 1 + 2
    assert 300 < parts["weights codes"] < 500
    assert parts["zeros codes"] < 1
    assert all(size >= 0 for size in parts.values())


def test_a_network_without_tensors_is_a_file() -> None:
    data = write({}, {}, named=True)
    assert data[:-4] == b'RLZ\x01\x0e\x00{"tensors":[]}'
    assert read(data) == Packed({NAMES: []}, {}, {"header": 20.0, "checksum": 4.0})


def test_what_a_file_cannot_hold_is_not_written() -> None:
    one, zeros = stored_step(1.0), np.zeros(2, np.int32)
    refused = {
        "more digits": CodedTensor("levels", (2,), np.array([0.1], np.float32), zeros),
        "digits": CodedTensor("codebook", (2,), np.array([0.1], np.float32), zeros),
        "keeps": CodedTensor("float16", (2,), np.array([0.5, 1e6], np.float32)),
        "not finite": coded.plain(np.array([1.0, np.inf])),
        "outside its codebook": coded.codebook(np.array([0, 3]), np.array([0.0, 1.0, 2.0])),
        "too large": CodedTensor("levels", (2,), one, np.array([2**31 - 1, -(2**31) + 1], np.int32), predicted=True),
        "do not fit": CodedTensor("levels", (2,), one),
        "too far apart": coded.levels(np.zeros(2), 1e30),
    }
    for message, tensor in refused.items():
        with pytest.raises(ConfigError, match=message) as caught:
            write({}, {"fine": coded.constant(1.0, ()), "this": tensor}, named=True)
        assert "tensor 'this' cannot be packed" in str(caught.value)


def test_headers_that_would_not_come_back_are_not_written() -> None:
    with pytest.raises(ConfigError, match="65,536 bytes"):
        write({"text": "x" * (1 << 16)}, {}, named=False)
    # as numbers 9 < 10, as text "10" < "9"
    with pytest.raises(ConfigError, match="its keys text"):
        write({"plan": {9: 1, 10: 2}}, {}, named=False)
    with pytest.raises(ValueError, match="JSON"):
        write({"loss": float("nan")}, {}, named=False)
    longest = (1 << 16) - 1 - len(json.dumps({"text": ""}, separators=(",", ":")))
    assert read_header(write({"text": "x" * longest}, {}, named=False))[0] == {"text": "x" * longest}


def test_networks_beyond_the_limits_are_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="cannot hold 3,000,000 numbers"):  # in 60 bytes
        write({}, {"x": coded.constant(1.0, (3_000_000,))}, named=True)
    for shape in ((1,) * 9, (1 << 24, 2, 0)):
        with pytest.raises(ConfigError, match="cannot hold"):
            write({}, {"x": coded.constant(1.0, shape)}, named=True)
    with pytest.raises(ConfigError, match="10,000 tensors"):
        write({}, {str(n): coded.constant(1.0, ()) for n in range(10_001)}, named=False)
    monkeypatch.setattr(packed_file, "MOST_STEPS", 20)
    with pytest.raises(ConfigError, match="coded by 21 bits"):
        write({}, {"x": coded.levels(np.zeros((21, 1)), 1.0)}, named=True)
    data = write({}, {"x": coded.levels(np.zeros((20, 1)), 1.0)}, named=True)
    assert read(data).values()["x"].shape == (20, 1)
    monkeypatch.setattr(packed_file, "MOST_STEPS", 19)
    with pytest.raises(CheckpointError, match="too short or too long"):
        read(data)


def test_a_caller_may_allow_fewer_numbers() -> None:
    data = write({}, {"x": coded.constant(1.0, (30,)), "y": coded.plain(np.zeros((2, 3)))}, named=True)
    assert read(data, most_numbers=36).values()["y"].shape == (2, 3)
    with pytest.raises(CheckpointError, match="promises 36 numbers"):
        read(data, most_numbers=35)
