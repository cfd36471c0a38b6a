"""The packed file of a network (`.rlz`): a header, one line for each tensor, one entropy-coded stream, a checksum.

    4 bytes   "RLZ" and the version
    2 bytes   length of the header
    header    JSON, keys sorted, no blanks: what the network is, and the names and shapes where its kind does not say
    tensors   for each: a byte of kind and flags, the length of a codebook less 1, and its floats (see `_floats`)
    stream    the whole numbers of all tensors (see `integers`)
    4 bytes   CRC-32 of all before

All integers are little endian. A network has exactly one file, so equal files are equal networks. Reading needs numpy
alone, executes nothing, and bounds time and memory before it allocates. Floats of levels are the upper 16 bits of a
float32, those of codebooks are float16.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from rl_gen_lab.cli.errors import CheckpointError, ConfigError
from rl_gen_lab.compression import integers
from rl_gen_lab.compression.coded import KINDS, CodedTensor, Kind, check, check_places
from rl_gen_lab.compression.range_coder import Decoder, Encoder

MAGIC, VERSION = b"RLZ", 1
KIND, PREDICTED, REPEATED, BY_ROW, UNUSED = 0x0F, 0x10, 0x20, 0x40, 0x80  # of a tensor's first byte
LARGEST_FILE = 1 << 28  # bytes
MOST_HEADER, MOST_TENSORS, MOST_DIMENSIONS = 1 << 16, 10_000, 8
MOST_NUMBERS = 1 << 24  # of a whole network; a caller may allow less
NUMBERS_PER_BYTE = 50_000  # a file that promises more is a decompression bomb
MOST_STEPS = 1 << 24  # bits of the stream, whether they take space or not: about 20 s
NAMES = "tensors"  # key of the header
Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Packed:
    """A packed network: header and tensors, and where the bytes of the file went."""

    header: dict[str, Any]
    tensors: dict[str, CodedTensor]
    bytes_by_part: dict[str, float] = field(default_factory=dict)

    def values(self) -> dict[str, np.ndarray]:
        """Return the tensors, float32."""
        return {name: tensor.values() for name, tensor in self.tensors.items()}


def write(header: dict[str, Any], tensors: Mapping[str, CodedTensor], *, named: bool) -> bytes:
    """Return the file. named: keep names and shapes in it, for networks whose header does not give them.

    Raises: ConfigError for what the format cannot hold; ValueError for a header that is not JSON.
    """
    if named:
        header = header | {NAMES: [[name, list(tensor.shape)] for name, tensor in tensors.items()]}
    text = _canonical(header)
    if len(text) >= MOST_HEADER or len(tensors) > MOST_TENSORS or _canonical(json.loads(text)) != text:
        raise ConfigError(f"limits: {MOST_HEADER:,} bytes of header, its keys text, and {MOST_TENSORS:,} tensors")
    table, encoder = b"", Encoder()
    for name, tensor in tensors.items():
        try:
            table += _entry(tensor)
            if tensor.codes is not None:
                integers.encode(encoder, tensor.stored_codes())
        except ValueError as error:
            raise ConfigError(f"tensor {name!r} cannot be packed: {error}") from error
    body = MAGIC + bytes([VERSION]) + len(text).to_bytes(2, "little") + text + table + encoder.finish()
    shapes = [tensor.shape for tensor in tensors.values()]
    total = sum(map(prod, shapes))
    if not all(map(_possible, shapes)) or total > _most_numbers(len(body) + 4) or encoder.bits > MOST_STEPS:
        raise ConfigError(
            f"a packed file of {len(body) + 4:,} bytes cannot hold {total:,} numbers, coded by {encoder.bits:,} bits:"
            " use a smaller network, fewer weights or fewer bits for each"
        )
    return body + zlib.crc32(body).to_bytes(4, "little")


def _canonical(header: Any) -> bytes:
    """The only text of a header. Raises: ValueError for numbers that are not finite."""
    return json.dumps(header, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def _possible(shape: tuple[int, ...]) -> bool:
    """Whether a tensor may have a shape; zeros are left out, since numpy refuses huge empty arrays too."""
    return len(shape) <= MOST_DIMENSIONS and prod(size or 1 for size in shape) <= MOST_NUMBERS


def _most_numbers(file_bytes: int) -> int:
    return min(MOST_NUMBERS, NUMBERS_PER_BYTE * file_bytes)


def _entry(tensor: CodedTensor) -> bytes:
    """Return the line of a tensor. Raises: ValueError for one that a file cannot hold."""
    check(tensor)
    by_row = tensor.kind == "levels" and len(tensor.numbers) > 1
    flags = PREDICTED * tensor.predicted | REPEATED * tensor.repeated | BY_ROW * by_row
    entry = bytes([KINDS.index(tensor.kind) | flags])
    if tensor.kind == "codebook":
        check_places(tensor)
        entry += bytes([len(tensor.numbers) - 1])
    raw = _floats(tensor.kind, tensor.numbers)
    if not np.array_equal(_numbers(tensor.kind, raw), tensor.numbers):
        raise ValueError("its numbers have more digits than a file keeps")
    return entry + raw


def _floats(kind: Kind, numbers: np.ndarray) -> bytes:
    """Return the floats of a tensor as a file keeps them."""
    if kind in ("float32", "constant"):
        return numbers.astype("<f4").tobytes()
    if kind == "levels":
        return (numbers.astype("<f4").view("<u4") >> 16).astype("<u2").tobytes()
    with np.errstate(over="ignore"):  # its caller compares
        return numbers.astype("<f2").tobytes()


def _numbers(kind: Kind, raw: bytes | memoryview) -> np.ndarray:
    """Return the floats of a tensor from what a file keeps, float32."""
    if kind in ("float32", "constant"):
        return np.frombuffer(raw, "<f4").astype(np.float32)
    if kind == "levels":
        return (np.frombuffer(raw, "<u2").astype(np.uint32) << 16).view(np.float32)
    return np.frombuffer(raw, "<f2").astype(np.float32)


@contextmanager
def opened(path: Path) -> Iterator[bytes]:
    """Give the bytes of a file; a CheckpointError of whoever reads them names the file. Raises: CheckpointError."""
    from rl_gen_lab.runs.reading import read_bytes  # here: who decodes bytes alone needs no reader of run folders

    data = read_bytes(path, LARGEST_FILE)
    try:
        yield data
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error


def read_header(data: bytes) -> tuple[dict[str, Any], int]:
    """Return the header and the place behind it; the checksum is compared. Raises: CheckpointError."""
    if not data.startswith(MAGIC):
        raise CheckpointError("this is no packed network: it does not begin with RLZ")
    if len(data) < 10 or zlib.crc32(memoryview(data)[:-4]) != int.from_bytes(data[-4:], "little"):
        raise CheckpointError("the packed network is damaged or cut short: its checksum is wrong")
    if data[3] != VERSION:
        raise CheckpointError(f"the packed network is of version {data[3]}; this program reads version {VERSION}")
    end = 6 + int.from_bytes(data[4:6], "little")
    if end > len(data) - 4:
        raise CheckpointError("the packed network's header cannot be read: it is longer than the file")
    try:
        header = json.loads(data[6:end].decode("ascii"))  # NaN and Infinity pass here, but have no canonical text
        same = _canonical(header) == data[6:end]
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"the packed network's header cannot be read: {error}") from error
    if not isinstance(header, dict) or not same:
        raise CheckpointError("the packed network's header cannot be read: it is not in its canonical form")
    return header, end


def read(
    data: bytes, shapes_of: Callable[[dict[str, Any]], Shapes] | None = None, most_numbers: int = MOST_NUMBERS
) -> Packed:
    """Read a packed file.

    shapes_of: the tensors that a header stands for, where the file does not name them. most_numbers: what the caller
    allows in all. Raises: CheckpointError in one line, whatever the bytes are.
    """
    header, place = read_header(data)
    if NAMES in header:
        shapes: Shapes = _named(header[NAMES])
    elif shapes_of is not None:
        shapes = shapes_of(header)
    else:
        raise CheckpointError("the packed network does not name its tensors, and its kind is not known here")
    total = sum(map(prod, shapes.values()))
    if total > min(most_numbers, _most_numbers(len(data))):
        raise CheckpointError(f"the packed network of {len(data):,} bytes promises {total:,} numbers: refused")
    try:
        return _read_tensors(header, shapes, memoryview(data)[:-4], place)
    except ValueError as error:
        raise CheckpointError(f"the packed network cannot be read: {error}") from error


def _read_tensors(header: dict[str, Any], shapes: Shapes, data: memoryview, place: int) -> Packed:
    parts = {"header": float(place), "checksum": 4.0}
    entries: dict[str, CodedTensor] = {}
    for name, shape in shapes.items():
        entries[name], place_after = _read_entry(data, place, shape)
        parts[f"{name} floats"] = float(place_after - place)
        place = place_after
    decoder = Decoder(bytes(data[place:]), MOST_STEPS)
    for name, entry in entries.items():
        if entry.codes is None:
            continue
        before = decoder.bytes_used
        _read_codes(decoder, entry)
        parts[f"{name} codes"] = decoder.bytes_used - before
    if not decoder.whole or decoder.bits > MOST_STEPS:
        raise ValueError("its stream of numbers is too short or too long")
    return Packed(header, entries, parts)


def _read_entry(data: memoryview, place: int, shape: tuple[int, ...]) -> tuple[CodedTensor, int]:
    """Read the line of a tensor; its codes are still zeros. Return it and the place behind it."""
    (first,), place = _take(data, place, 1)
    if first & KIND >= len(KINDS) or first & UNUSED:
        raise ValueError(f"a tensor is of the unknown kind {first:#04x}")
    kind, by_row = KINDS[first & KIND], bool(first & BY_ROW)
    if by_row and (kind != "levels" or len(shape) == 0 or shape[0] < 2):  # one distance needs no flag
        raise ValueError("flags of a tensor do not fit it")
    count = prod(shape)
    if kind == "codebook":
        (last,), place = _take(data, place, 1)
        count = last + 1
    elif kind in ("levels", "constant"):
        count = shape[0] if by_row else 1
    raw, place = _take(data, place, count * (4 if kind in ("float32", "constant") else 2))
    codes = np.zeros(shape, np.int32) if kind in ("levels", "codebook") else None
    tensor = CodedTensor(kind, shape, _numbers(kind, raw), codes, bool(first & PREDICTED), bool(first & REPEATED))
    check(tensor)
    return tensor, place


def _take(data: memoryview, place: int, count: int) -> tuple[memoryview, int]:
    """Return the next bytes and the place behind them. Raises: ValueError at the end."""
    if count > len(data) - place:
        raise ValueError("it ends within a tensor")
    return data[place : place + count], place + count


def _read_codes(decoder: Decoder, entry: CodedTensor) -> None:
    assert entry.codes is not None
    codes = integers.decode(decoder, *entry.stored_shape)
    if entry.predicted:
        wide = np.cumsum(codes, axis=1, dtype=np.int64)
        if max(wide.max(initial=0), -wide.min(initial=0)) > integers.LARGEST:
            raise ValueError("a number is too large")
        codes = wide.astype(np.int32)
    entry.codes[...] = codes.reshape(entry.shape[1:] if entry.repeated else entry.shape)
    if entry.kind == "codebook":
        check_places(entry)


def _named(listed: Any) -> dict[str, tuple[int, ...]]:
    """Check the names and shapes of a header. Raises: CheckpointError."""
    found: dict[str, tuple[int, ...]] = {}
    for entry in listed if isinstance(listed, list) and len(listed) <= MOST_TENSORS else [None]:
        name, shape = entry if isinstance(entry, list) and len(entry) == 2 else (None, None)
        if not isinstance(name, str) or name in found or not isinstance(shape, list):
            raise CheckpointError("the packed network's list of tensors cannot be read")
        if not all(type(size) is int and size >= 0 for size in shape) or not _possible(tuple(shape)):
            raise CheckpointError(f"the packed network's tensor {name[:80]!r} has an impossible shape")
        found[name] = tuple(shape)
    return found
