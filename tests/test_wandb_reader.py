"""The reader of W&B's logs: records of every length, every cut, damage."""

import struct
import zlib
from pathlib import Path

import pytest
from wandb_reader import CHUNK_HEAD, HEADER, read_records

from rl_gen_lab.cli.errors import CheckpointError


def write_log(file: Path, payloads: list[bytes]) -> None:
    """Write the format from its description, independently of W&B."""
    data = bytearray(HEADER)
    for payload in payloads:
        rest, first = payload, True
        while first or rest:
            left = 32_768 - len(data) % 32_768
            if left < 7:
                data += bytes(left)
                continue
            piece, rest = rest[: left - 7], rest[left - 7 :]
            kind = {(True, True): 1, (True, False): 2, (False, False): 3, (False, True): 4}[first, not rest]
            crc = zlib.crc32(bytes([kind]) + piece)
            data += struct.pack("<IHB", crc, len(piece), kind) + piece
            first = False
    file.write_bytes(data)


@pytest.mark.parametrize("size", [0, 1, 32_741, 32_742, 32_754, 32_755, 32_761, 100_000])
def test_records_of_every_length_come_back_also_across_blocks(tmp_path: Path, size: int) -> None:
    payloads = [bytes([65 + index]) * (size + index) for index in range(4)]
    write_log(tmp_path / "run-a.wandb", payloads)
    assert list(read_records(tmp_path / "run-a.wandb")) == payloads


def test_every_cut_of_a_log_gives_the_whole_records_before_it(tmp_path: Path) -> None:
    payloads = [b"first", b"second" * 10, b"third"]
    file = tmp_path / "run-a.wandb"
    write_log(file, payloads)
    whole = file.read_bytes()
    lengths = []
    for length in range(len(whole) + 1):
        file.write_bytes(whole[:length])
        found = list(read_records(file))
        assert found == payloads[: len(found)]
        lengths.append(len(found))
    assert lengths == sorted(lengths) and lengths[-1] == 3


def test_damage_and_foreign_files_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "run-a.wandb"
    write_log(file, [b"first", b"second"])
    data = bytearray(file.read_bytes())
    data[len(HEADER) + CHUNK_HEAD.size] ^= 1
    file.write_bytes(data)
    with pytest.raises(CheckpointError, match="damaged at byte 7"):
        list(read_records(file))
    file.write_text("something else")
    with pytest.raises(CheckpointError, match="not a W&B log"):
        list(read_records(file))
    with pytest.raises(CheckpointError, match="cannot read"):
        list(read_records(tmp_path / "none.wandb"))
