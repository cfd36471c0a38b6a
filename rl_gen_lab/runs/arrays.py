"""Named numpy arrays in one file: a zip of .npy, as `numpy.load` reads them too. Nothing is ever unpickled."""

import math
import os
import zipfile
from pathlib import Path

import numpy as np
import torch

from rl_gen_lab.compute.memory_budget import free_bytes
from rl_gen_lab.runs.reading import decoded, open_file


def write_arrays(file: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write named arrays, and wait until they are on the disk. Raises OSError."""
    with file.open("wb") as raw:
        with zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for name, array in arrays.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, array, allow_pickle=False)
        raw.flush()
        os.fsync(raw.fileno())


def read_arrays(file: Path) -> dict[str, np.ndarray]:
    """Read named arrays, in memory that is bounded by what is free.

    Raises: CheckpointError naming the file: missing, no file, damaged, larger than memory, or not of its size.
    """
    return decoded(str(file), lambda: _read(file))


def _read(file: Path) -> dict[str, np.ndarray]:
    arrays = {}
    with open_file(file) as raw, zipfile.ZipFile(raw) as archive:
        if (size := sum(entry.file_size for entry in archive.infolist())) > free_bytes(torch.device("cpu")):
            raise ValueError(f"its arrays need {size:,} bytes, more than the memory that is free")
        for entry in archive.infolist():
            with archive.open(entry) as member:
                version = np.lib.format.read_magic(member)
                read_header = {1: np.lib.format.read_array_header_1_0, 2: np.lib.format.read_array_header_2_0}[
                    version[0]
                ]
                shape, _, dtype = read_header(member)
                size = math.prod(shape) * dtype.itemsize
                if not dtype.hasobject and (min(shape, default=0) < 0 or size != entry.file_size - member.tell()):
                    raise ValueError(f"{entry.filename} is not of the size that it says")
            with archive.open(entry) as member:
                arrays[entry.filename.removesuffix(".npy")] = np.lib.format.read_array(member, allow_pickle=False)
    return arrays
