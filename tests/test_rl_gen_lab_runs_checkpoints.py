"""Checkpoints: round trips, kills at every line, full disks, damaged and foreign files."""

import errno
import json
import os
import resource
import signal
import struct
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest
import torch

from rl_gen_lab.cli.errors import CheckpointError, SaveError
from rl_gen_lab.runs import checkpoints
from rl_gen_lab.runs.checkpoints import load_state, load_weights, save_state, save_weights
from rl_gen_lab.runs.folder import RunFolder


def small_state(value: int) -> dict[str, Any]:
    return {"value": value, "weights": torch.full((3,), float(value)), "replay": np.full(4, value, np.uint8)}


def value_of(state: dict[str, Any]) -> int:
    """Give the value of a `small_state`, after checking that its three files belong together."""
    value = state["value"]
    assert torch.equal(state["weights"], torch.full((3,), float(value)))
    assert np.array_equal(state["replay"], np.full(4, value, np.uint8))
    assert isinstance(value, int)
    return value


def test_an_optimiser_and_tied_weights_come_back(tmp_path: Path) -> None:
    layer = torch.nn.Linear(3, 2)
    adam = torch.optim.Adam(layer.parameters(), lr=0.1, betas=(0.5, 0.6))
    layer(torch.ones(1, 3)).sum().backward()
    adam.step()
    tied = {"a": layer.weight, "b": layer.weight, "part": layer.weight[0]}
    save_state(tmp_path / "last", {"optimiser": adam.state_dict(), "tied": tied})
    back = load_state(tmp_path / "last")
    assert torch.equal(back["tied"]["b"], layer.weight) and torch.equal(back["tied"]["part"], layer.weight[0])
    other = torch.optim.Adam(layer.parameters(), lr=9.0)
    other.load_state_dict(back["optimiser"])
    assert other.state_dict()["param_groups"] == adam.state_dict()["param_groups"]
    assert torch.equal(other.state_dict()["state"][0]["exp_avg"], adam.state_dict()["state"][0]["exp_avg"])


def test_pickled_arrays_are_never_loaded(tmp_path: Path) -> None:
    save_state(tmp_path / "last", small_state(1))
    with (
        zipfile.ZipFile(tmp_path / "last" / "arrays.zip", "w") as archive,
        archive.open("replay.npy", "w") as member,
    ):
        np.lib.format.write_array(member, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    manifest = json.loads((tmp_path / "last" / "state.json").read_text())
    manifest["files"]["arrays.zip"] = checkpoints._fingerprint(tmp_path / "last" / "arrays.zip")
    (tmp_path / "last" / "state.json").write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match="allow_pickle=False"):
        load_state(tmp_path / "last")


def test_others_may_read_what_the_umask_lets_them(tmp_path: Path) -> None:
    save_state(tmp_path / "last", small_state(1))
    modes = {file.stat().st_mode for file in (tmp_path / "last").iterdir()}
    assert len(modes) == 1


STEPS_OF_SAVING = ("save_state", "_recover", "_write_tensors", "_write_arrays", "sync")


def killed_at_line(number: int, folder: Path) -> bool:
    """Save in a forked child that kills itself before the n-th line that saves; False: it got through."""
    child = os.fork()
    if child == 0:
        left = number

        def trace(frame: FrameType, event: str, _: Any) -> Any:
            nonlocal left
            if frame.f_code.co_name not in STEPS_OF_SAVING:
                return None
            if event == "line":
                left -= 1
                if left < 0:
                    os.kill(os.getpid(), signal.SIGKILL)
            return trace

        sys.settrace(trace)
        try:
            save_state(folder, small_state(2))
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


@pytest.mark.slow
@pytest.mark.parametrize("before", ["nothing", "a checkpoint", "a kill between the renames"])
def test_killed_at_any_line_the_old_or_the_new_checkpoint_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str
) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)  # slow, and a killed process loses nothing it has written
    seen: list[int] = []
    for line in range(1000):
        folder = tmp_path / str(line) / "last"
        if before == "a checkpoint":
            save_state(folder, small_state(1))
        if before == "a kill between the renames":
            save_state(folder.with_name("last.old"), small_state(0))
            save_state(folder.with_name("last.tmp-1"), small_state(1))
        killed = killed_at_line(line, folder)
        try:
            seen.append(value_of(load_state(folder)))
        except CheckpointError as error:
            assert before == "nothing" and "no checkpoint" in str(error)
            seen.append(0)
        save_state(folder, small_state(3))
        assert value_of(load_state(folder)) == 3
        assert [entry.name for entry in folder.parent.iterdir()] == ["last"]
        if not killed:
            break
    assert seen == sorted(seen), "once the new one can be seen it never goes away again"
    assert (seen[0], seen[-1]) == (0 if before == "nothing" else 1, 2)
    assert len(seen) > 50


def test_everything_is_on_the_disk_before_it_gets_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: set[int] = set()
    unsynced: list[str] = []
    real_rename, real_replace = os.rename, os.replace

    def check_then(move: Any) -> Any:
        def moving(source: Path, target: Path) -> None:
            if source.name.endswith(".old") or target.name.endswith(".old"):
                move(source, target)
                return
            inside = [*source.iterdir(), source] if source.is_dir() else [source]
            unsynced.extend(entry.name for entry in inside if entry.stat().st_ino not in synced)
            move(source, target)

        return moving

    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.add(os.fstat(descriptor).st_ino))
    monkeypatch.setattr(os, "rename", check_then(real_rename))
    monkeypatch.setattr(os, "replace", check_then(real_replace))
    saves: list[Callable[[], None]] = [
        lambda: save_state(tmp_path / "last", small_state(1)),
        lambda: save_state(tmp_path / "last", small_state(2)),
        lambda: save_weights(tmp_path / "best.safetensors", {"w": torch.ones(3)}, {}),
        lambda: RunFolder(tmp_path).write_config({"seed": 1}),
    ]
    for save in saves:
        synced.clear()  # a new file may get the number of a deleted one
        save()
        assert unsynced == []
        assert tmp_path.stat().st_ino in synced


def test_links_are_no_unfinished_saves(tmp_path: Path) -> None:
    latest = tmp_path / "latest"
    save_state(latest, {"a": 1})
    latest.rename(tmp_path / "elsewhere")
    for name in ("latest.tmp-1", "latest.old"):
        (tmp_path / name).symlink_to("elsewhere")
    with pytest.raises(CheckpointError):
        load_state(latest)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere", "latest.old", "latest.tmp-1"]


def test_killed_between_the_renames_with_a_bad_new_folder_the_old_one_is_used(tmp_path: Path) -> None:
    save_state(tmp_path / "last.old", small_state(1))
    save_state(tmp_path / "last.tmp-1", small_state(2))
    (tmp_path / "last.tmp-1" / "state.json").unlink()
    assert value_of(load_state(tmp_path / "last")) == 1
    assert not (tmp_path / "last").exists(), "a reader moves nothing"
    save_state(tmp_path / "last", small_state(3))
    assert value_of(load_state(tmp_path / "last")) == 3


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EACCES])
@pytest.mark.parametrize("call", ["os.fsync", "os.rename", "pathlib.Path.mkdir", "pathlib.Path.write_text"])
def test_a_refusing_disk_leaves_the_previous_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int
) -> None:
    folder = tmp_path / "last"
    save_state(folder, small_state(1))

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(call, refuse)
        with pytest.raises(SaveError, match=os.strerror(code)):
            save_state(folder, small_state(2))
    assert value_of(load_state(folder)) == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["last"]


@pytest.mark.parametrize("big", ["tensor", "array", "plain"])
def test_a_file_that_the_system_cuts_short_leaves_the_previous_checkpoint(tmp_path: Path, big: str) -> None:
    folder = tmp_path / "last"
    save_state(folder, small_state(1))
    noise = np.random.default_rng(0).integers(0, 256, 200_000, np.uint8)
    parts = {"tensor": torch.from_numpy(noise), "array": noise, "plain": noise.tolist()}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(SaveError, match="could not save"):
            save_state(folder, {**small_state(2), "big": parts[big]})
        if big == "tensor":
            with pytest.raises(SaveError, match="could not save"):
                save_weights(tmp_path / "best.safetensors", {"big": parts["tensor"]}, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert value_of(load_state(folder)) == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["last"]


@pytest.mark.parametrize("name", ["tensors.safetensors", "arrays.zip", "state.json"])
@pytest.mark.parametrize("damage", ["missing", "empty", "half", "last byte", "longer", "one byte"])
def test_a_damaged_checkpoint_is_refused_by_name(tmp_path: Path, name: str, damage: str) -> None:
    folder = tmp_path / "last"
    save_state(folder, small_state(77))
    file = folder / name
    whole = file.read_bytes()
    changed = bytearray(whole)
    spot = whole.rindex(b"77") if name == "state.json" else len(whole) // 2
    changed[spot] ^= 1
    damaged = {
        "empty": b"",
        "half": whole[: len(whole) // 2],
        "last byte": whole[:-1],
        "longer": whole + b"x",
        "one byte": bytes(changed),
    }
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(damaged[damage])
    with pytest.raises(CheckpointError, match=name):
        load_state(folder)


def test_another_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "VERSION", 2)
        save_state(tmp_path / "last", small_state(1))
    with pytest.raises(CheckpointError, match=r"state\.json has version 2, this program reads version 1"):
        load_state(tmp_path / "last")


def test_a_missing_checkpoint_is_named(tmp_path: Path) -> None:
    for folder in (tmp_path / "last", tmp_path / "no" / "last"):
        with pytest.raises(CheckpointError, match="no checkpoint at"):
            load_state(folder)


def test_a_checkpoint_replaced_while_it_is_read_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "last"
    save_state(folder, small_state(1))
    read_weights = checkpoints.load_weights
    calls = 0

    def replace_then_read(file: Path) -> Any:
        nonlocal calls
        calls += 1
        if calls == 1:
            save_state(folder, {"value": 2, "weights": torch.full((3,), 2.0), "replay": np.full(4, 2, np.uint8)})
            raise CheckpointError("the file that was being read is gone")
        return read_weights(file)

    monkeypatch.setattr(checkpoints, "load_weights", replace_then_read)
    assert value_of(load_state(folder)) == 2


def test_weights_and_metadata_round_trip(tmp_path: Path) -> None:
    save_weights(tmp_path / "best.safetensors", {"w": torch.ones(2, 2).T}, {"fingerprint": "abc"})
    tensors, metadata = load_weights(tmp_path / "best.safetensors")
    assert torch.equal(tensors["w"], torch.ones(2, 2)) and metadata == {"fingerprint": "abc"}
    assert [file.name for file in tmp_path.iterdir()] == ["best.safetensors"]


@pytest.mark.parametrize("length", [0, 4, 60, -1])
def test_weights_cut_short_are_refused(tmp_path: Path, length: int) -> None:
    file = tmp_path / "best.safetensors"
    save_weights(file, {"w": torch.ones(20)}, {})
    file.write_bytes(file.read_bytes()[:length])
    with pytest.raises(CheckpointError, match=r"best\.safetensors"):
        load_weights(file)


def test_missing_weights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"none\.safetensors"):
        load_weights(tmp_path / "none.safetensors")


def test_the_size_of_a_file_is_compared_before_it_is_read(tmp_path: Path) -> None:
    save_state(tmp_path / "latest", {"weights": torch.ones(3)})
    os.truncate(tmp_path / "latest" / "tensors.safetensors", 2**36)  # sparse; reading it would take minutes
    with pytest.raises(CheckpointError, match=r"68719476736 bytes instead of .*: it was cut short or changed"):
        load_state(tmp_path / "latest")


def test_weights_of_very_many_tensors_are_refused_before_they_are_read(tmp_path: Path) -> None:
    entry = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    header = json.dumps({f"x{number}": entry for number in range(checkpoints.MOST_TENSORS + 1)}).encode()
    (tmp_path / "many.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    with pytest.raises(CheckpointError, match="it has 20,001 tensors: it is not of a run"):
        load_weights(tmp_path / "many.safetensors")
