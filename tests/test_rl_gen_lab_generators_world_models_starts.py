"""Beginnings of dreams in a run folder, and files that are damaged."""

from __future__ import annotations

from pathlib import Path

import dot_world
import pytest
import torch

from rl_gen_lab.cli.errors import CheckpointError
from rl_gen_lab.generators.world_models import starts


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
