"""Damages of a run folder: every file emptied, cut, flipped, mistyped, nested, replaced; every entry mistyped."""

from __future__ import annotations

import copy
import json
import os
import shutil
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rl_gen_lab.runs.checkpoints import load_state, save_state

Damage = Callable[[Path], None]  # of a run folder
DEEP = "[" * 100_000 + "]" * 100_000
BELOW = 900  # levels that Python's own reader still takes
VALUES: dict[str, Any] = {
    "null": None, "true": True, "minus": -1, "huge": 10**400, "float": 0.5, "text": "../../x", "empty text": "",
    "list": [], "list of lists": [[1], ["a"]], "object": {}, "object of text": {"a": "b"}, "half character": "\ud800",
    "screen codes": "a\r\nb\x1b[2J\u202ec", "long text": "x" * 5_000,
    "no number": float("nan"), "infinite": float("inf"),
}  # fmt: skip
LINES: dict[str, bytes] = {
    "null": b"null\n", "number": b"5\n", "list": b"[1, 2]\n", "text": b'"x"\n', "nothing": b"\n", "half": b'{"a": \n',
    "deep": DEEP.encode() + b"\n", "deep value": b'{"global_step": 1, "a": ' + b"[" * BELOW + b"]" * BELOW + b"}\n",
    "no step": b"{}\n", "step as text": b'{"global_step": "x", "wall_seconds": 1.0}\n',
    "step null": b'{"global_step": null, "wall_seconds": null}\n', "no UTF-8": b"\xff\xfe\n",
    "step infinite": b'{"global_step": 1e999, "wall_seconds": NaN}\n',
    "huge": b'{"global_step": 1' + b"0" * 400 + b"}\n",
    "values": b'{"global_step": 1, "wall_seconds": 1.0, "charts/episodic_return": "a", "eval/return_mean": [],'
    b' "charts/peak_memory_mb": {}}\n',
}  # fmt: skip
LEAVES: dict[str, Any] = {
    "none": None, "bool": True, "minus": -1, "huge": 10**30, "float": 0.5, "nan": float("nan"), "text": "x", "list": [],
    "dict": {}, "tensor": torch.zeros(3), "scalar": torch.tensor(1.5), "complex": torch.zeros(2, dtype=torch.complex64),
    "array": np.zeros((2, 2)), "texts": np.array(["a"]),
}  # fmt: skip


def of_files(run: Path) -> Iterator[tuple[str, Damage]]:
    """Every file of a run: empty, halved, with other bits, by a link or a folder, cut at the end, missing."""
    for file in sorted(path for path in run.rglob("*") if path.is_file()):
        name = str(file.relative_to(run))
        if name.startswith(("videos", "pictures", "wandb")):
            continue
        data = file.read_bytes()
        middle = len(data) // 2
        flipped = data[:middle] + bytes([data[middle] ^ 4]) + data[middle + 1 :] if data else b"x"
        for what, content in {
            "empty": b"", "halved": data[:middle], "flipped": flipped, "flipped start": bytes([data[0] ^ 1]) + data[1:],
            "short": data[:-1], "longer": data + b"x", "zeros": bytes(len(data)), "no UTF-8": b"\xff" * 100,
            "null": b"null", "list": b"[]", "object": b"{}", "number": b"1", "text": b'"x"', "deep": DEEP.encode(),
            "deep object": b'{"config": ' * BELOW + b"1" + b"}" * BELOW, "BOM": b"\xef\xbb\xbf" + data,
            "UTF-16": data.decode("latin-1").encode("utf-16"), "twice": data + data, "archive": b"PK\x03\x04" + data,
        }.items():  # fmt: skip
            yield f"{name}: {what}", lambda folder, n=name, c=content: put(folder / n, c)  # type: ignore[misc]
        yield f"{name}: missing", lambda folder, n=name: (folder / n).unlink()  # type: ignore[misc]
        yield f"{name}: folder", lambda folder, n=name: to_folder(folder / n)  # type: ignore[misc]
        yield f"{name}: link to nothing", lambda folder, n=name: to_link(folder / n, "nowhere")  # type: ignore[misc]
        yield f"{name}: link to itself", lambda folder, n=name: to_link(folder / n, Path(n).name)  # type: ignore[misc]
        yield f"{name}: endless", lambda folder, n=name: to_link(folder / n, "/dev/zero")  # type: ignore[misc]
        yield f"{name}: pipe", lambda folder, n=name: to_pipe(folder / n)  # type: ignore[misc]


def put(file: Path, content: bytes) -> None:
    file.write_bytes(content)


def to_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def to_link(file: Path, target: str) -> None:
    file.unlink()
    file.symlink_to(target)


def to_pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def of_folders(run: Path) -> Iterator[tuple[str, Damage]]:
    """Every folder of a run: missing, a file, a link to itself, to its run, or to the files of the system; a pipe."""

    def replaced(make: Callable[[Path], object]) -> Callable[[Path, str], None]:
        def damage(folder: Path, name: str) -> None:
            shutil.rmtree(folder / name)
            make(folder / name)

        return damage

    kinds: dict[str, Callable[[Path, str], None]] = {
        "missing": replaced(lambda path: None),
        "file": replaced(lambda path: path.write_bytes(b"x")),
        "itself": replaced(lambda path: path.symlink_to(path.name)),
        "run": replaced(lambda path: path.symlink_to("..")),
        "system": replaced(lambda path: path.symlink_to("/proc/self")),
        "pipe": replaced(os.mkfifo),
    }
    for place in sorted(path for path in run.rglob("*") if path.is_dir()):
        name = str(place.relative_to(run))
        for what, damage in kinds.items():
            yield f"{name}: folder {what}", lambda folder, n=name, d=damage: d(folder, n)  # type: ignore[misc]


def of_lines(run: Path) -> Iterator[tuple[str, Damage]]:
    """Lines of metrics.jsonl that are none, first, in the middle and last."""
    for what, line in LINES.items():
        for where in ("first", "last"):

            def damage(folder: Path, line: bytes = line, where: str = where) -> None:
                file = folder / "metrics.jsonl"
                data = file.read_bytes()
                file.write_bytes(line + data if where == "first" else data + line)

            yield f"metrics.jsonl: {where} line {what}", damage


def places(tree: Any, path: tuple[Any, ...] = (), most: int = 3) -> Iterator[tuple[Any, ...]]:
    """The paths of all entries of nested values, of lists the first two."""
    pairs = tree.items() if isinstance(tree, dict) else enumerate(tree[:2]) if isinstance(tree, list | tuple) else ()
    for key, value in pairs:
        yield (*path, key)
        if len(path) + 1 < most:
            yield from places(value, (*path, key), most)


def with_value(tree: Any, path: tuple[Any, ...], value: Any) -> Any:
    """Nested values with another one at a path."""
    if not path:
        return value
    changed = list(tree) if isinstance(tree, list | tuple) else dict(tree)
    changed[path[0]] = with_value(tree[path[0]], path[1:], value)
    return tuple(changed) if isinstance(tree, tuple) else changed


def without(tree: Any, path: tuple[Any, ...]) -> Any:
    """Nested values without the one at a path."""
    changed = list(tree) if isinstance(tree, list | tuple) else dict(tree)
    if len(path) == 1:
        del changed[path[0]]
    else:
        changed[path[0]] = without(tree[path[0]], path[1:])
    return tuple(changed) if isinstance(tree, tuple) else changed


def of_json(run: Path, name: str) -> Iterator[tuple[str, Damage]]:
    """Every entry of a JSON file with every other value, and without it."""
    content = json.loads((run / name).read_text())
    for path in places(content):
        what = "/".join(map(str, path))
        yield f"{name}: no {what}", lambda f, p=path: put(f / name, json.dumps(without(content, p)).encode())  # type: ignore[misc]
        for kind, value in VALUES.items():
            yield (
                f"{name}: {what} is {kind}",
                lambda f, p=path, v=value: put(f / name, json.dumps(with_value(content, p, v)).encode()),  # type: ignore[misc]
            )


def of_state(run: Path, most: int = 6) -> Iterator[tuple[str, Damage]]:
    """Every entry of the checkpoint with every other value, reshaped, and without it; its checksums are right."""
    state = load_state(run / "checkpoints" / "latest")

    def write(folder: Path, changed: Any) -> None:
        shutil.rmtree(folder / "checkpoints" / "latest")
        save_state(folder / "checkpoints" / "latest", changed)

    for path in places(state, most=most):
        what = "/".join(map(str, path))
        old = state
        for key in path:
            old = old[key]
        yield f"state: no {what}", lambda f, p=path: write(f, without(state, p))  # type: ignore[misc]
        values = dict(LEAVES)
        if isinstance(old, torch.Tensor | np.ndarray):
            values |= {"one more": old[None], "cut": old[:1] if old.ndim else old, "flat": old.reshape(-1)}
            if isinstance(old, torch.Tensor) and old.is_floating_point():
                values |= {
                    "nan inside": torch.full_like(old, float("nan")),
                    "doubled": torch.cat([old.reshape(-1)] * 2),
                }
        if isinstance(old, int) and not isinstance(old, bool):
            values |= {"large": 10**7}
        for kind, value in values.items():
            yield f"state: {what} is {kind}", lambda f, p=path, v=value: write(f, with_value(state, p, v))  # type: ignore[misc]


def of_weights(run: Path, name: str) -> Iterator[tuple[str, Damage]]:
    """Headers of a safetensors file that are mutated."""
    data = (run / name).read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    header, body = json.loads(data[8 : 8 + size]), data[8 + size :]

    def write(folder: Path, text: bytes, length: int | None = None) -> None:
        put(folder / name, struct.pack("<Q", len(text) if length is None else length) + text + body)

    for path in places(header, most=3):
        what = "/".join(map(str, path))
        yield f"{name}: no {what}", lambda f, p=path: write(f, json.dumps(without(header, p)).encode())  # type: ignore[misc]
        for kind, value in (
            VALUES | {"complex": "C64", "F8": "F8_E4M3", "F4": "F4", "I64": "I64", "BOOL": "BOOL"}
        ).items():
            yield (
                f"{name}: {what} is {kind}",
                lambda f, p=path, v=value: write(f, json.dumps(with_value(header, p, v)).encode()),  # type: ignore[misc]
            )
    for length in (0, 1, 2**31, 2**63, 2**64 - 1):
        yield f"{name}: a header of {length} bytes", lambda f, n=length: write(f, json.dumps(header).encode(), n)  # type: ignore[misc]
    for kind, value in (("half", np.float16), ("whole", np.int32), ("complex", np.complex64), ("double", np.float64)):

        def cast(folder: Path, value: Any = value) -> None:
            from safetensors.numpy import load_file, save_file

            save_file({key: tensor.astype(value) for key, tensor in load_file(folder / name).items()}, folder / name)

        yield f"{name}: cast to {kind}", cast

    def poison(folder: Path) -> None:
        from safetensors.torch import load_file, save_file

        tensors = {
            k: torch.full_like(v, float("nan")) if v.is_floating_point() else v
            for k, v in load_file(folder / name).items()
        }
        save_file(tensors, folder / name)

    yield f"{name}: nan", poison


def of_manifest(run: Path) -> Iterator[tuple[str, Damage]]:
    """Entries of state.json around the state, its checksum made anew where it is of the state."""
    import zlib

    name = "checkpoints/latest/state.json"
    content = json.loads((run / name).read_text())

    def write(folder: Path, changed: Any) -> None:
        changed = copy.deepcopy(changed)
        changed["crc32"] = zlib.crc32(json.dumps(changed["state"]).encode())
        put(folder / name, json.dumps(changed).encode())

    for path in [("files",), ("version",), *(("files", key) for key in content["files"])]:
        for kind, value in VALUES.items():
            yield f"{name}: {'/'.join(path)} is {kind}", lambda f, p=path, v=value: write(f, with_value(content, p, v))  # type: ignore[misc]
    for key in ("../../../config.json", "/etc/hostname", "state.json"):
        files = {**content["files"], key: {"bytes": 1, "crc32": 1}}
        yield f"{name}: file {key}", lambda f, files=files: write(f, {**content, "files": files})  # type: ignore[misc]
    for kind, value in {
        "tensor": {"__tensor__": "nothing"}, "number": {"__tensor__": 5}, "array": {"__array__": "nothing"},
        "float": {"__float__": "x"}, "items": {"__items__": [1]}, "items of lists": {"__items__": [[[], 1]]},
        "items of three": {"__items__": [[1, 2, 3]]}, "tuple": {"__tuple__": 5}, "list": [], "null": None, "text": "x",
    }.items():  # fmt: skip
        yield f"{name}: state is {kind}", lambda f, v=value: write(f, {**content, "state": v})  # type: ignore[misc]
        first = next(iter(content["state"]))
        yield (
            f"{name}: state/{first} is {kind}",
            lambda f, k=first, v=value: write(f, with_value(content, ("state", k), v)),
        )  # type: ignore[misc]


def all_of(run: Path) -> Iterator[tuple[str, Damage]]:
    """The whole table of a run."""
    yield from of_files(run)
    yield from of_folders(run)
    yield from of_lines(run)
    for name in ("config.json", "result.json"):
        if (run / name).is_file():
            yield from of_json(run, name)
    yield from of_manifest(run)
    yield from of_state(run)
    for file in sorted((run / "checkpoints").glob("*.safetensors")):
        yield from of_weights(run, f"checkpoints/{file.name}")


def bytes_of(folder: Path) -> dict[str, Any]:
    """Everything in a folder: bytes of files, targets of links, kinds of the rest."""
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = ("link", os.readlink(path))
        elif path.is_file():
            found[name] = path.read_bytes()
        else:
            found[name] = "folder" if path.is_dir() else "pipe"
    return found
