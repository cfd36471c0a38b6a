"""The reader of run folders: bounded in size, depth and time; a fault names file and entry."""

from __future__ import annotations

import json
import os
import random
import struct
import time
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from rl_gen_lab.cli.errors import CheckpointError
from rl_gen_lab.runs import schemas
from rl_gen_lab.runs.checkpoints import load_state, load_weights, save_state
from rl_gen_lab.runs.reading import WHOLE, ListOf, Needed, misfit, open_file, parse, printable, read_bytes, read_json

SCHEMA: dict[Any, Any] = {
    "name": str,
    "count": (WHOLE, None),
    "side": range(1, 9),
    "rate": float,
    "items": ListOf(ListOf(int, 2, 2), 1, 3),
    "about": Needed({"text": str, "more": object}, ("text",)),
    "device": (str, {"threads": WHOLE}),
    "numbers": {...: (float, None)},
}


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"name": "a", "count": None, "side": 8, "rate": 2, "items": [[1, 2]], "about": {"text": "b"}, "other": [1]},
        {"device": "cpu"},
        {"device": {"threads": 1, "more": "x"}, "numbers": {"a": 1, "b": None, "c": 0.5}},
    ],
)
def test_what_fits_a_schema(value: dict[str, Any]) -> None:
    assert misfit(value, SCHEMA) is None


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"name": 5}, "'name' must be text, not 5"),
        ({"count": True}, "'count' must be a whole number or null, not True"),
        ({"count": 2**63}, "'count' must be a whole number or null, not 9223372036854775808"),
        ({"side": 9}, "'side' must be a whole number from 1 to 8, not 9"),
        ({"rate": "x"}, "'rate' must be a number, not 'x'"),
        ({"items": []}, "'items' has 0 entries"),
        ({"items": [[1, 2], [3]]}, "'items[1]' has 1 entries"),
        ({"items": [[1, "2"]]}, "'items[0][1]' must be a whole number, not '2'"),
        ({"about": {"more": 1}}, "'about.text' is missing"),
        ({"about": []}, "'about' must be an object, not []"),
        ({"device": 5}, "'device' must be text or an object, not 5"),
        ({"device": {"threads": "x"}}, "'device.threads' must be a whole number, not 'x'"),
        ({"numbers": {"a": []}}, "'numbers.a' must be a number or null, not []"),
    ],
)
def test_what_does_not_fit_is_named(value: dict[str, Any], said: str) -> None:
    assert misfit(value, SCHEMA) == said


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "nul", "[1,]", '{"a": NaN}', '{"a": -Infinity}', "1e999", '"\\ud800"', '"a\\u0000b"', "9" * 5_000),
        *("[" * 100_000 + "]" * 100_000, "[" * 70 + "]" * 70, '{"a":' * 70 + "1" + "}" * 70, "\ufeff{}"),
    ],
)
def test_what_is_no_json_of_ours_is_refused_at_once(text: str) -> None:
    began = time.monotonic()
    with pytest.raises(ValueError):
        parse(text.encode())
    assert time.monotonic() - began < 1


def test_names_of_files_in_other_encodings_can_be_kept() -> None:
    assert parse(json.dumps({"data": os.fsdecode(b"\xff")}).encode()) == {"data": "\udcff"}


def test_a_fault_names_the_file(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    for content, said in (("5", "does not hold a JSON object"), ('{"seed": "x"}', "is damaged: 'seed' must be")):
        file.write_text(content)
        with pytest.raises(CheckpointError, match=f"config.json {said}"):
            read_json(file, schemas.CONFIG)


def test_only_regular_files_of_bounded_size_are_read(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "endless").symlink_to("/dev/zero")
    for name in ("folder", "pipe", "loop", "endless", "missing", "a\0b"):
        with pytest.raises(CheckpointError, match="cannot read"):
            open_file(tmp_path / name)
    (tmp_path / "large").write_bytes(bytes(11))
    with pytest.raises(CheckpointError, match="more than 10 bytes"):
        read_bytes(tmp_path / "large", most=10)


def test_what_is_printed_cannot_move_the_cursor() -> None:
    assert printable("a\x1b[2Jb\nc") == "a [2Jb c" and printable("x" * 500) == "x" * 197 + "..."


def mutated(rng: random.Random, value: Any) -> Any:
    """JSON values with an entry changed somewhere: of another type, missing, twice as deep, very long."""
    odd = [None, True, -1, 10**30, 0.5, "x" * rng.randrange(300), "../x", [], {}, [[[]]], {"a": {"b": 1}}, "\ud800"]
    if not isinstance(value, dict | list) or not value or rng.random() < 0.2:
        return rng.choice(odd)
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    key, changed = rng.choice(keys), value.copy()
    if rng.random() < 0.2:
        del changed[key]
    else:
        changed[key] = mutated(rng, value[key])
    return changed


def test_mutated_headers_of_weights_are_refused_or_read_in_bounded_time_and_memory(tmp_path: Path) -> None:
    file, rng = tmp_path / "a.safetensors", random.Random(0)
    save_file({"a": torch.ones(2, 3), "b": torch.zeros(4, dtype=torch.int64)}, file, {"epoch": "1"})
    data = file.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    header, body = json.loads(data[8 : 8 + size]), data[8 + size :]
    began, refused = time.monotonic(), 0
    tracemalloc.start()
    for number in range(300):
        text = json.dumps(mutated(rng, header)).encode()
        content = bytearray(struct.pack("<Q", len(text)) + text + body)
        for _ in range(number % 3):
            content[rng.randrange(len(content))] = rng.randrange(256)
        file.write_bytes(content[: rng.randrange(len(content))] if number % 10 == 0 else content)
        try:
            load_weights(file)
        except CheckpointError:
            refused += 1
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert refused > 150 and time.monotonic() - began < 20 and peak < 2**24


def test_mutated_states_are_refused_or_read_in_bounded_time_and_memory(tmp_path: Path) -> None:
    state = {"a": torch.ones(3), "b": np.arange(5), "c": [1, (2.0, None)], "d": {1: "x"}, "e": float("nan")}
    folder, rng = tmp_path / "latest", random.Random(1)
    save_state(folder, state)
    content = json.loads((folder / "state.json").read_text())
    began, refused = time.monotonic(), 0
    for number in range(300):
        tree = mutated(rng, content["state"])
        crc = zlib.crc32(json.dumps(tree).encode())
        (folder / "state.json").write_text(
            json.dumps({**content, "state": tree, "crc32": crc} if number % 2 else mutated(rng, content))
        )
        try:
            load_state(folder)
        except CheckpointError:
            refused += 1
    assert refused > 100 and time.monotonic() - began < 20


def test_arrays_that_would_need_more_memory_than_there_is_are_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_state(tmp_path / "latest", {"a": np.zeros(100_000), "b": torch.ones(1)})
    monkeypatch.setattr("rl_gen_lab.runs.arrays.free_bytes", lambda device: 10_000)
    with pytest.raises(CheckpointError, match=r"arrays.zip: its arrays need 800,128 bytes"):
        load_state(tmp_path / "latest")


def test_mutated_records_are_refused_or_fit_their_schema(tmp_path: Path) -> None:
    config = {"config": {"env": "a", "device": {"threads": 1}}, "seed": 1, "command": ["x"], "image_size": [2, 3]}
    file, rng = tmp_path / "config.json", random.Random(2)
    for _ in range(500):
        file.write_text(json.dumps(mutated(rng, config)))
        try:
            assert misfit(read_json(file, schemas.CONFIG), schemas.CONFIG) is None
        except CheckpointError as error:
            assert len(str(error)) < 600 and "\n" not in str(error)
