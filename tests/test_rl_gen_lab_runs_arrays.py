"""Named arrays in a zip: whole, or refused in one line, whatever a file says of itself."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from rl_gen_lab.cli.errors import CheckpointError
from rl_gen_lab.runs import arrays
from rl_gen_lab.runs.arrays import read_arrays, write_arrays


def npy(array: np.ndarray) -> bytes:
    with io.BytesIO() as stream:
        np.lib.format.write_array(stream, array)
        return stream.getvalue()


def test_arrays_come_back_and_numpy_reads_them_too(tmp_path: Path) -> None:
    kept = {"a": np.arange(6, dtype=np.int16).reshape(2, 3), "b/c": np.zeros((0, 4)), "d": np.array(1.5)}
    write_arrays(tmp_path / "a.zip", kept)
    found = read_arrays(tmp_path / "a.zip")
    assert found.keys() == kept.keys()
    assert all(np.array_equal(found[name], kept[name]) and found[name].dtype == kept[name].dtype for name in kept)
    with np.load(tmp_path / "a.zip") as loaded:
        assert np.array_equal(loaded["a"], kept["a"])


def test_arrays_larger_than_memory_are_refused_before_they_are_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", npy(np.zeros(10**6)))
    monkeypatch.setattr(arrays, "free_bytes", lambda _: 10**6)
    with pytest.raises(CheckpointError, match=r"need 8,000,128 bytes, more than the memory"):
        read_arrays(tmp_path / "a.zip")


@pytest.mark.parametrize("shape", ["(3,)", "(10**15,)", "(-4,)", "(True,)", "('x',)"])
def test_an_array_of_another_size_than_it_says_is_refused(shape: str, tmp_path: Path) -> None:
    text = npy(np.zeros(4)).replace(b"(4,)", shape.encode())
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.npy", text)
    with pytest.raises(CheckpointError, match="cannot read"):
        read_arrays(tmp_path / "a.zip")


def test_a_pipe_and_an_endless_file_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for file in (tmp_path / "pipe", Path("/dev/zero"), tmp_path, tmp_path / "missing"):
        with pytest.raises(CheckpointError, match="cannot read"):
            read_arrays(file)
