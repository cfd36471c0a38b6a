"""Checkpoints that survive a kill at any moment and a full disk.

A checkpoint is a folder of three files: tensors.safetensors, arrays.zip (numpy arrays as .npy) and state.json (plain
values, the places of tensors and arrays among them, size and checksum of the other two files). Nothing is ever
unpickled. A new checkpoint is written beside the old one (fsync on every file), the old one renamed away, the new one
renamed in, the old one deleted; whatever a kill leaves, the old or the new one loads.
"""

import json
import os
import shutil
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from rl_gen_lab.cli.errors import CheckpointError
from rl_gen_lab.runs import schemas
from rl_gen_lab.runs.arrays import read_arrays, write_arrays
from rl_gen_lab.runs.encoding import decode, encode
from rl_gen_lab.runs.files import replace_file, save_errors, sync
from rl_gen_lab.runs.reading import decoded, misfit, open_file, read_json, shortened

VERSION = 1
MOST_TENSORS = 20_000  # of a file: to read each takes longer, the more there are
TENSORS, ARRAYS, STATE = "tensors.safetensors", "arrays.zip", "state.json"


def save_state(folder: Path, state: dict[str, Any]) -> None:
    """Save nested tensors, arrays and plain values as a checkpoint folder, whole or not at all.

    state: dicts (keys str or int), lists, tuples; leaves Tensor (any device), ndarray, int, float, str, bool,
    None. Killed at any moment, `load_state` still finds the previous or the new checkpoint. Raises SaveError
    when the disk is full or refuses (the previous checkpoint stays), TypeError for a leaf of another type.
    """
    folder = Path(folder)
    tensors: dict[str, torch.Tensor] = {}
    arrays: dict[str, np.ndarray] = {}
    tree = encode(state, "", tensors, arrays)
    new, old = _new_folder(folder), _old_folder(folder)
    with save_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        _recover(folder)
        try:
            new.mkdir()
            _write_tensors(new / TENSORS, tensors, {})
            write_arrays(new / ARRAYS, arrays)
            files = {name: _fingerprint(new / name) for name in (TENSORS, ARRAYS)}
            text = {"version": VERSION, "files": files, "crc32": _text_crc(tree), "state": tree}
            (new / STATE).write_text(json.dumps(text, allow_nan=False), encoding="utf-8")
            sync(new / STATE, new)
            if folder.exists():
                os.rename(folder, old)
            os.rename(new, folder)
        except BaseException:
            if old.exists() and not folder.exists():
                os.rename(old, folder)
            shutil.rmtree(new, ignore_errors=True)
            raise
        sync(folder.parent)
        shutil.rmtree(old, ignore_errors=True)


def load_state(folder: Path) -> dict[str, Any]:
    """Load what `save_state` saved; tensors come back on the CPU. Changes nothing on disk.

    Raises CheckpointError naming the file and the reason: missing, cut short, damaged, of another version.
    """
    folder = Path(folder)
    while True:
        place = _readable(folder)
        identity = _identity(place)
        try:
            return _read_state(place)
        except CheckpointError:
            # A run that still trains may have put a newer checkpoint in its place while we read.
            if _identity(_readable(folder)) == identity:
                raise


def save_weights(file: Path, tensors: dict[str, torch.Tensor], metadata: dict[str, str]) -> None:
    """Save named tensors as one safetensors file, whole or not at all. Raises SaveError."""
    replace_file(Path(file), lambda new: _write_tensors(new, tensors, metadata))


def load_weights(file: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Load (tensors on the CPU, metadata) from a safetensors file. Raises CheckpointError."""

    def read() -> tuple[dict[str, torch.Tensor], dict[str, str]]:
        with safe_open(file, framework="pt") as opened:
            names = list(opened.keys())
            if len(names) > MOST_TENSORS:
                raise ValueError(f"it has {len(names):,} tensors: it is not of a run")
            return {name: opened.get_tensor(name) for name in names}, dict(opened.metadata() or {})

    open_file(file).close()  # no pipe, no folder
    return decoded(str(file), read)


# ---- the steps of saving and finding a checkpoint


def _new_folder(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.tmp-{os.getpid()}")


def _old_folder(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.old")


def _leftovers(folder: Path) -> list[Path]:
    """Return the new folders of earlier, killed saves, newest first."""
    named = [entry for entry in folder.parent.iterdir() if entry.name.startswith(f"{folder.name}.tmp-")]
    folders = [entry for entry in named if not entry.is_symlink()]  # no save makes a link
    return sorted(folders, key=lambda entry: (_identity(entry) or (0, 0.0))[1], reverse=True)


def _readable(folder: Path) -> Path:
    """Return the folder to read: itself or, after a kill between the two renames, the new one, else the old."""
    if folder.is_dir() or not folder.parent.is_dir():
        return folder
    candidates = [*_leftovers(folder), _old_folder(folder)]
    return next((place for place in candidates if not place.is_symlink() and _is_complete(place)), folder)


def _recover(folder: Path) -> None:
    """Finish or undo a save that was killed. Only the writer does this: a reader must not move things."""
    place = _readable(folder)
    if place != folder:
        os.rename(place, folder)
    for leftover in [*_leftovers(folder), _old_folder(folder)]:
        shutil.rmtree(leftover, ignore_errors=True)


def _identity(folder: Path) -> tuple[int, float] | None:
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime


def _is_complete(folder: Path) -> bool:
    try:
        _read_manifest(folder)
    except CheckpointError:
        return False
    return True


def _read_manifest(folder: Path) -> Any:
    """Return the encoded state after checking version, sizes and checksums."""
    if not folder.is_dir():
        raise CheckpointError(f"no checkpoint at {folder}")
    text = read_json(folder / STATE)
    if text.get("version") != VERSION or not {"files", "crc32", "state"} <= text.keys():
        version = shortened(text.get("version"))
        raise CheckpointError(f"{folder / STATE} has version {version}, this program reads version {VERSION}")
    wrong = misfit(text, schemas.MANIFEST) or (text["files"].keys() != {TENSORS, ARRAYS} and "it names other files")
    if wrong:
        raise CheckpointError(f"{folder / STATE} is damaged: {wrong}")
    for name in (TENSORS, ARRAYS):
        file, expected = folder / name, text["files"][name]
        with open_file(file) as opened:  # before it is read: it may be of any size
            size = os.fstat(opened.fileno()).st_size
        if size != expected.get("bytes"):
            raise CheckpointError(
                f"{file} has {size} bytes instead of {expected.get('bytes')}: it was cut short or changed"
            )
        if _fingerprint(file) != expected:
            raise CheckpointError(f"{file} is damaged: its checksum is wrong")
    if _text_crc(text["state"]) != text["crc32"]:
        raise CheckpointError(f"{folder / STATE} is damaged: its checksum is wrong")
    return text["state"]


def _read_state(folder: Path) -> dict[str, Any]:
    tree = _read_manifest(folder)
    tensors, _ = load_weights(folder / TENSORS)
    arrays = decoded(str(folder / ARRAYS), lambda: read_arrays(folder / ARRAYS))
    state: dict[str, Any] = decoded(str(folder / STATE), lambda: decode(tree, tensors, arrays))
    if not isinstance(state, dict):
        raise CheckpointError(f"{folder / STATE} is damaged: its state is no object")
    return state


def _fingerprint(file: Path) -> dict[str, int]:
    crc = 0
    with open_file(file) as opened:
        while block := opened.read(2**20):
            crc = zlib.crc32(block, crc)
        return {"bytes": opened.tell(), "crc32": crc}


def _text_crc(tree: Any) -> int:
    return zlib.crc32(json.dumps(tree, allow_nan=False).encode())


# ---- tensors


def _write_tensors(file: Path, tensors: dict[str, torch.Tensor], metadata: dict[str, str]) -> None:
    ready: dict[str, torch.Tensor] = {}
    starts: set[int] = set()
    for name, tensor in tensors.items():
        plain_tensor = tensor.detach().cpu().contiguous()
        start = plain_tensor.untyped_storage().data_ptr()
        ready[name] = plain_tensor.clone() if start in starts else plain_tensor  # the format refuses shared memory
        starts.add(start)
    file.touch()
    mode = file.stat().st_mode
    save_file(ready, file, metadata=metadata)
    file.chmod(mode)  # save_file leaves a file that only its owner may read, whatever the umask is
    sync(file)
