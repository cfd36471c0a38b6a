"""Packed files made by hand, with a right checksum, for tests of what is refused."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import pytest

from rl_gen_lab.cli.errors import CheckpointError
from rl_gen_lab.compression.packed_file import MOST_NUMBERS, NAMES, read

GOLDEN = Path(__file__).parent / "golden" / "packed_v1.rlz"


def file_of(header: Any, rest: bytes = b"", version: int = 1) -> bytes:
    """A file with a right checksum. header: an object, or its bytes."""
    text = header if isinstance(header, bytes) else json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    return repaired(b"RLZ" + bytes([version]) + len(text).to_bytes(2, "little") + text + rest)


def repaired(body: bytes) -> bytes:
    return body + zlib.crc32(body).to_bytes(4, "little")


def named(*shapes: list[int], **more: Any) -> dict[str, Any]:
    return {NAMES: [[f"t{number}", shape] for number, shape in enumerate(shapes)]} | more


def refusal(data: bytes, most_numbers: int = MOST_NUMBERS) -> str:
    with pytest.raises(CheckpointError) as caught:
        read(data, most_numbers=most_numbers)
    message = str(caught.value)
    assert "\n" not in message
    assert 20 < len(message) < 250
    return message
