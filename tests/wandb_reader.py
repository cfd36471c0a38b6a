"""Reader of the `.wandb` file of a Weights & Biases run: offline, while it runs, or after a kill.

The format, read from files of wandb 0.31: 7 bytes of header, then a LevelDB log in blocks of 32,768 bytes,
the header included. A chunk is crc32 (4 bytes, of type and data), length (2), type (1: whole; 2 first,
3 middle, 4 last piece of a record) and data, little endian; fewer than 7 bytes at the end of a block are
padding.
"""

import json
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rl_gen_lab.cli.errors import CheckpointError

BLOCK_BYTES = 32_768
HEADER = b":W&B\xe1\xbe\x00"
CHUNK_HEAD = struct.Struct("<IHB")


@dataclass
class WandbRun:
    """The content of a `.wandb` file."""

    name: str = ""
    run_id: str = ""
    project: str = ""
    entity: str = ""
    group: str = ""
    job_type: str = ""
    tags: list[str] = field(default_factory=list)
    notes: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    # One row per logged line; nested keys are joined by dots ("eval/film._type", "eval/film.path").
    history: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    # Metric (or pattern) -> the metric it is drawn over, "" for an axis itself.
    step_metrics: dict[str, str] = field(default_factory=dict)
    # Name, type, aliases and metadata of each artifact.
    artifacts: list[dict[str, Any]] = field(default_factory=list)
    # Title and text of each alert.
    alerts: list[tuple[str, str]] = field(default_factory=list)
    # None while the run goes on, or when it was killed.
    exit_code: int | None = None


def find_logs(folder: Path) -> list[Path]:
    """Return the `.wandb` files in a run folder, oldest first; more than one when the run was resumed."""
    files = [file for file in folder.rglob("run-*.wandb") if not file.parent.is_symlink()]
    return sorted(files, key=lambda file: file.parent.name.removeprefix("offline-"))


def read_wandb_run(file: Path) -> WandbRun:
    """Read a `.wandb` file; a record cut short at its end is left out. Raises CheckpointError on damage."""
    from wandb.proto.wandb_internal_pb2 import Record  # type: ignore[attr-defined]

    run = WandbRun()
    for payload in read_records(file):
        record = Record()
        record.ParseFromString(payload)
        record_type = record.WhichOneof("record_type")
        if record_type == "run":
            header = record.run
            run.name, run.run_id, run.project = header.display_name, header.run_id, header.project
            run.group, run.job_type, run.tags = header.run_group, header.job_type, list(header.tags)
            run.entity, run.notes = header.entity, header.notes
            run.config.update(_items(header.config.update))
        elif record_type == "config":
            run.config.update(_items(record.config.update))
        elif record_type == "history":
            run.history.append(_items(record.history.item))
        elif record_type == "summary":
            run.summary.update(_items(record.summary.update))
        elif record_type == "metric":
            run.step_metrics[record.metric.name or record.metric.glob_name] = record.metric.step_metric
        elif record_type == "artifact":
            run.artifacts.append(_artifact(record.artifact))
        elif record_type == "alert":
            run.alerts.append((record.alert.title, record.alert.text))
        elif record_type == "exit":
            run.exit_code = record.exit.exit_code
    return run


def read_records(file: Path) -> Iterator[bytes]:
    """Yield the payload of each complete record, in order. Raises CheckpointError on damage before the end."""
    try:
        data = file.read_bytes()
    except OSError as error:
        raise CheckpointError(f"cannot read {file}: {error.strerror}") from error
    if data[: len(HEADER)] != HEADER[: len(data)]:
        raise CheckpointError(f"{file} is not a W&B log")
    position, pieces = len(HEADER), b""
    while position + CHUNK_HEAD.size <= len(data):
        left = BLOCK_BYTES - position % BLOCK_BYTES
        if left < CHUNK_HEAD.size:
            position += left
            continue
        crc, length, chunk_type = CHUNK_HEAD.unpack_from(data, position)
        start = position + CHUNK_HEAD.size
        piece = data[start : start + length]
        if len(piece) < length:
            return  # the writer was killed, or has not finished yet
        if zlib.crc32(bytes([chunk_type]) + piece) != crc:
            raise CheckpointError(f"{file} is damaged at byte {position}: a checksum is wrong")
        position = start + length
        pieces = piece if chunk_type in (1, 2) else pieces + piece
        if chunk_type in (1, 4):
            yield pieces


def _items(items: Any) -> dict[str, Any]:
    return {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in items}


def _artifact(record: Any) -> dict[str, Any]:
    metadata = json.loads(record.metadata) if record.metadata else {}
    return {"name": record.name, "type": record.type, "aliases": list(record.aliases), "metadata": metadata}
