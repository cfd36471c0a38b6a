"""Beginnings of dreams: a few true frames and the actions between, kept in the run folder."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from rl_gen_lab.cli.errors import CheckpointError
from rl_gen_lab.generators.world_models.sequences import SequenceSplit
from rl_gen_lab.runs.arrays import read_arrays
from rl_gen_lab.runs.files import replace_file

FILE, COUNT, TRUE_STEPS = "beginnings.npz", 96, 32  # kept; most steps before a dream begins


def write(folder: Path, split: SequenceSplit) -> None:
    """Keep beginnings, evenly spaced over a split. Raises: SaveError."""
    steps = min(TRUE_STEPS, split.steps)
    windows = split.windows(split.evenly_spaced(COUNT))
    with io.BytesIO() as stream:
        np.savez_compressed(
            stream,
            frames=windows.frames[:, : split.context + steps].numpy(),
            executed=windows.executed[:, :steps].numpy().astype(np.int16),
        )
        content = stream.getvalue()
    replace_file(folder / FILE, lambda new: new.write_bytes(content))


def read(folder: Path) -> tuple[Tensor, Tensor]:
    """Return frames (N, C + T, H, W) uint8 and actions (N, T, F) int64. Raises: CheckpointError."""
    file = folder / FILE
    try:
        arrays = read_arrays(file)
    except CheckpointError as error:
        raise CheckpointError(f"{file} is missing or damaged, and dreams begin from it: {error}") from error
    frames, executed = (arrays.get(name, np.zeros(0)) for name in ("frames", "executed"))
    kinds = frames.dtype == np.uint8 and executed.dtype == np.int16
    if not kinds or frames.ndim != 4 or executed.ndim != 3 or len(frames) != len(executed) or not len(frames):
        raise CheckpointError(
            f"{file} is damaged: frames {frames.dtype} {frames.shape}, actions {executed.dtype} {executed.shape}"
        )
    return torch.from_numpy(frames), torch.from_numpy(executed).long()
