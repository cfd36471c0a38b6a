"""Recorded play as it is read: whole, by split, in one palette; and folders that are damaged."""

from __future__ import annotations

import json
import os
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transition_folders import pong_transitions

from rl_gen_lab.data.records import DataError
from rl_gen_lab.data.transitions import load_transitions


def copy_of(tmp_path: Path) -> Path:
    return shutil.copytree(pong_transitions(), tmp_path / "copy")


def rewrite(change: Callable[[dict[str, Any]], None]) -> Callable[[Path], None]:
    """Change the arrays of the third episode."""

    def apply(path: Path) -> None:
        file = path / "transitions" / "00002.npz"
        with np.load(file) as content:
            arrays = dict(content)
        change(arrays)
        np.savez_compressed(file, **arrays)

    return apply


def cut(path: Path) -> None:
    file = path / "transitions" / "00002.npz"
    file.write_bytes(file.read_bytes()[:-300])


def test_episodes_are_read_by_split_with_their_frames_and_slots() -> None:
    found = load_transitions(pong_transitions())
    assert [len(part) for part in found.splits.values()] == [8, 1, 1] and found.num_actions == 6
    assert "ALE/Pong-v5" in found.task and len(found.task_hash) == 12
    with np.load(pong_transitions() / "transitions" / "00001.npz") as content:
        record = dict(content)
    episode = found.splits["train"][1]
    assert episode.number == 1 and len(episode) == len(record["actions"])
    assert np.array_equal(found.colors[episode.frames.long()].numpy(), record["colors"][record["frames"]])
    assert torch.equal(episode.executed, torch.from_numpy(record["executed"]).long())
    assert np.array_equal(episode.slots.numpy(), record["slots"], equal_nan=True)
    assert found.slot_names == tuple(record["slot_names"]) and found.steps("train") > 40


def test_colors_of_all_episodes_have_one_number_each(tmp_path: Path) -> None:
    path = copy_of(tmp_path)

    def turned(arrays: dict[str, Any]) -> None:
        arrays["colors"] = arrays["colors"][::-1]
        arrays["frames"] = (len(arrays["colors"]) - 1 - arrays["frames"]).astype(np.uint8)

    rewrite(turned)(path)
    first, second = load_transitions(pong_transitions()), load_transitions(path)
    assert torch.equal(first.splits["train"][2].frames, second.splits["train"][2].frames)


def remove(name: str) -> Callable[[dict[str, Any]], None]:
    return lambda arrays: arrays.__delitem__(name)


def replace_by(name: str, value: Callable[[np.ndarray], Any]) -> Callable[[dict[str, Any]], None]:
    return lambda arrays: arrays.update({name: value(arrays[name])})


def about(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    """Change what dataset.json says."""

    def apply(path: Path) -> None:
        content = json.loads((path / "dataset.json").read_text())
        change(content)
        (path / "dataset.json").write_text(json.dumps(content))

    return apply


def instead(make: Callable[[Path], object]) -> Callable[[Path], None]:
    """Put something else in place of an episode."""

    def apply(path: Path) -> None:
        file = path / "transitions" / "00002.npz"
        file.unlink()
        make(file)

    return apply


def header(shape: tuple[int, ...], kind: Any = "|u1") -> bytes:
    """The beginning of an array in a file, without its numbers."""
    text = repr({"descr": kind, "fortran_order": False, "shape": shape}).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def member(name: str, content: bytes) -> Callable[[Path], None]:
    """Put bytes in place of an array."""

    def apply(path: Path) -> None:
        file = path / "transitions" / "00002.npz"
        with zipfile.ZipFile(file) as archive:
            members = {entry: archive.read(entry) for entry in archive.namelist()}
        with zipfile.ZipFile(file, "w") as archive:
            for entry, data in (members | {f"{name}.npy": content}).items():
                archive.writestr(entry, data)

    return apply


def squeezed(path: Path) -> None:
    """Pack an episode by LZMA, and damage the stream."""
    file = path / "transitions" / "00002.npz"
    with zipfile.ZipFile(file) as archive:
        members = {entry: archive.read(entry) for entry in archive.namelist()}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_LZMA) as archive:
        for entry, data in members.items():
            archive.writestr(entry, data)
    data = file.read_bytes()
    file.write_bytes(data[:200] + bytes(byte ^ 0x55 for byte in data[200:400]) + data[400:])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: shutil.rmtree(path / "transitions"), "holds no transitions; write it with"),
        (lambda path: (path / "transitions" / "00002.npz").unlink(), "00002.npz is missing"),
        (cut, "cannot read"),
        (lambda path: (path / "transitions" / "00002.npz").write_bytes(b""), "File is not a zip file"),
        (lambda path: (path / "dataset.json").write_text("{}"), "'task' is missing"),
        (lambda path: (path / "dataset.json").unlink(), "dataset.json is not a file"),
        (rewrite(remove("rewards")), "00002.npz is damaged"),
        (rewrite(replace_by("rewards", lambda a: a[1:])), "rewards is float32"),
        (rewrite(replace_by("actions", lambda a: a.astype(np.float32))), "actions is float32"),
        (rewrite(replace_by("actions", lambda a: a[0])), "is damaged"),
        (rewrite(replace_by("frames", lambda a: a[:, :100])), "frames of another size"),
        (rewrite(replace_by("frames", lambda a: np.full_like(a, 250))), "a color without a number"),
        (rewrite(replace_by("terminated", lambda a: ~a)), "an episode that ends before its end"),
        (rewrite(replace_by("executed", lambda a: a - 9)), "an action below 0"),
        (rewrite(replace_by("slot_names", lambda a: a[1:])), "slots without names"),
        (rewrite(replace_by("slot_names", lambda a: np.array([object()]))), "00002.npz: Object arrays"),
        (rewrite(replace_by("slot_names", lambda a: np.zeros(3))), "slot_names are no row of texts"),
        (rewrite(replace_by("executed", lambda a: a[:, :2])), "other slots or steps"),
        (rewrite(replace_by("rewards", lambda a: np.full_like(a, np.nan))), "a reward or a slot that is no number"),
        (rewrite(replace_by("slots", lambda a: np.full_like(a, np.inf))), "a reward or a slot that is no number"),
        (rewrite(replace_by("actions", lambda a: a - 9)), "an action below 0"),
        (rewrite(replace_by("images", lambda a: a - 9)), "an image below 0"),
        (about(lambda a: a["task"]["fields"].update(actions="Discrete(1000000)")), "more than 32,768 actions"),
        (about(lambda a: a["task"]["fields"].update(actions=f"Discrete({'9' * 5_000})")), "more than 32,768 actions"),
        (about(lambda a: a["task"].update(hash=[])), "'task.hash' must be text"),
        (about(lambda a: a["episodes"][1].update(split=["a"])), "'episodes[1].split' must be 'train'"),
        (about(lambda a: a["episodes"].append(None)), "must be an object"),
        (instead(os.mkfifo), "00002.npz: it is no regular file"),
        (instead(lambda file: file.write_bytes(header((3,)) + bytes(3))), "File is not a zip file"),
        (member("actions", b"hello"), "cannot read"),
        (member("frames", header((10**12,))), "frames.npy is not of the size that it says"),
        (member("frames", header((10**30, 0))), "cannot read"),
        (member("slot_names", header((10**9,), "<U12")), "slot_names.npy is not of the size that it says"),
        (member("actions", header((3,), ("a",))), "cannot read"),
        (squeezed, "cannot read"),
    ],
)
def test_damaged_folders_are_refused_in_one_line(damage: Callable[[Path], None], message: str, tmp_path: Path) -> None:
    path = copy_of(tmp_path)
    damage(path)
    with pytest.raises(DataError) as refused:
        load_transitions(path)
    assert message in str(refused.value) and "\n" not in str(refused.value)


def test_an_unknown_split_is_refused(tmp_path: Path) -> None:
    path = copy_of(tmp_path)
    about = json.loads((path / "dataset.json").read_text())
    about["episodes"][1]["split"] = "prod"
    (path / "dataset.json").write_text(json.dumps(about))
    with pytest.raises(DataError, match="must be 'train' or 'val' or 'test', not 'prod'"):
        load_transitions(path)
