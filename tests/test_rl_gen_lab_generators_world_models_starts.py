"""Beginnings of dreams in a run folder, and files that are damaged."""

from __future__ import annotations

import os
from pathlib import Path

import dot_world
import numpy as np
import pytest
import torch

from rl_gen_lab.cli.errors import CheckpointError
from rl_gen_lab.generators.world_models import starts
from rl_gen_lab.runs.arrays import write_arrays


def test_beginnings_come_back(tmp_path: Path) -> None:
    split = dot_world.loaded().splits["train"]
    starts.write(tmp_path, split)
    frames, executed = starts.read(tmp_path)
    windows = split.windows(split.evenly_spaced(starts.COUNT))
    assert torch.equal(frames, windows.frames) and torch.equal(executed, windows.executed)


@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04 cut", b"x" * 100])
def test_a_damaged_file_is_refused_in_one_line(content: bytes | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / starts.FILE).write_bytes(content)
    with pytest.raises(CheckpointError, match=r"beginnings\.npz is missing or damaged"):
        starts.read(tmp_path)


@pytest.mark.parametrize(
    "changed",
    [
        {"frames": np.zeros((2, 3, 4, 5), np.float32)},
        {"frames": np.zeros((2, 3, 4), np.uint8)},
        {"executed": np.array([["a"]])},
        {"executed": np.zeros((3, 2, 1), np.int16)},
        {"frames": np.zeros((2, 3, 4, 5), np.uint16), "executed": np.zeros((2, 2, 1), np.complex64)},
    ],
)
def test_arrays_of_another_kind_are_refused(changed: dict[str, np.ndarray], tmp_path: Path) -> None:
    whole = {"frames": np.zeros((2, 3, 4, 5), np.uint8), "executed": np.zeros((2, 2, 1), np.int16)}
    write_arrays(tmp_path / starts.FILE, whole)
    assert len(starts.read(tmp_path)[0]) == 2
    write_arrays(tmp_path / starts.FILE, whole | changed)
    with pytest.raises(CheckpointError, match="is damaged: frames"):
        starts.read(tmp_path)


def test_a_pipe_in_place_of_the_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / starts.FILE)
    with pytest.raises(CheckpointError, match="no regular file"):
        starts.read(tmp_path)
