"""Recorded play as tensors: every step of every episode of a folder that `envs.scenes --transitions` wrote.

`envs/dataset/transitions.py` describes the files. Everything is read and checked before anything is trained; an error
is one line that names the file.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rl_gen_lab.cli.errors import CheckpointError
from rl_gen_lab.compute import memory_budget
from rl_gen_lab.data.labels import SPLITS
from rl_gen_lab.data.records import DataError, read_object
from rl_gen_lab.runs.arrays import read_arrays
from rl_gen_lab.runs.reading import ListOf, Needed, misfit

FOLDER = "transitions"
MOST_ACTIONS = 2**15  # as their type can tell apart
# Schema of what dataset.json says of them.
ABOUT = Needed(
    {
        "task": {**dict.fromkeys(("text", "hash"), str), "fields": {"actions": str}},
        "episodes": ListOf(Needed({"split": SPLITS})),
    }
)
# name -> type and number of dimensions
ARRAYS: dict[str, tuple[str, int]] = {
    "frames": ("uint8", 3),
    "colors": ("uint8", 2),
    "actions": ("int16", 1),
    "executed": ("int16", 2),
    "rewards": ("float32", 1),
    "terminated": ("bool", 1),
    "truncated": ("bool", 1),
    "images": ("int64", 1),
    "slots": ("float32", 2),
}


@dataclass(frozen=True)
class Episode:
    """An episode of T steps; frame t is shown before action t, frame T after the last one.

    frames: (T + 1, H, W) uint8, numbers of `Transitions.colors`. actions: (T,) int64, asked for; executed: (T, F)
    int64, in each frame of a step, -1 after the end. rewards: (T,) float32; terminated, truncated: (T,) bool, of which
    at most the last is true. images: (T + 1,) int64, numbers of the labeled images, -1 where there is none. slots:
    (T + 1, S) float32.
    """

    number: int
    frames: Tensor
    actions: Tensor
    executed: Tensor
    rewards: Tensor
    terminated: Tensor
    truncated: Tensor
    images: Tensor
    slots: Tensor

    def __len__(self) -> int:
        return len(self.actions)


@dataclass(frozen=True)
class Transitions:
    """The episodes of a folder by split. colors: (K, 3) uint8 RGB; task: what was played, as text."""

    path: Path
    task: str
    task_hash: str
    num_actions: int
    colors: Tensor
    slot_names: tuple[str, ...]
    splits: dict[str, tuple[Episode, ...]]

    def steps(self, split: str) -> int:
        """Return the number of steps of a split."""
        return sum(len(episode) for episode in self.splits[split])


def load_transitions(path: Path) -> Transitions:
    """Read the transitions of a folder. Raises: DataError."""
    about = read_object(path / "dataset.json")
    if wrong := misfit(about, ABOUT):
        raise DataError(f"{path / 'dataset.json'} is damaged: {wrong}")
    task, episodes = about["task"], about["episodes"]
    files = [path / FOLDER / f"{number:05d}.npz" for number in range(len(episodes))]
    if not files or not (path / FOLDER).is_dir():
        raise DataError(f"{path} holds no transitions; write it with python -m envs.scenes --transitions")
    colors, slot_names, size = torch.zeros(0, 3, dtype=torch.uint8), tuple[str, ...](), tuple[int, ...]()
    splits: dict[str, list[Episode]] = {name: [] for name in SPLITS}
    held = 0
    for number, (file, entry) in enumerate(zip(files, episodes, strict=True)):
        arrays, names = _read(file)
        own = (*arrays["frames"].shape[1:], *arrays["executed"].shape[1:])
        if number and (size != own or names != slot_names):
            raise DataError(f"{file} has frames of another size, other slots or steps than the episodes before")
        size, slot_names = own, names
        colors, arrays["frames"] = _renumbered(file, colors, arrays["colors"], arrays["frames"])
        del arrays["colors"]
        held += arrays["frames"].nbytes
        free = memory_budget.USABLE_SHARE * memory_budget.free_bytes(torch.device("cpu"))
        if arrays["frames"].nbytes > free:
            raise DataError(f"{path}: {held / 1e9:.1f} GB of frames fill the memory; record fewer")
        tensors = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}
        for name in ("actions", "executed"):
            tensors[name] = tensors[name].long()
        splits[entry["split"]].append(Episode(number, **tensors))
    if not sum(map(len, splits["train"])):
        raise DataError(f"{path} has no steps for train; record more frames")
    most = max(int(e.executed.max()) for part in splits.values() for e in part if e.executed.numel())
    return Transitions(
        path,
        str(task.get("text", "")),
        str(task.get("hash", "")),
        _actions(path, task, most + 1),
        colors,
        slot_names,
        {name: tuple(part) for name, part in splits.items()},
    )


def _actions(path: Path, task: dict[str, Any], least: int) -> int:
    """Return the number of actions of a task, "Discrete(6)", at least those that were executed. Raises: DataError."""
    space = task["fields"].get("actions", "") if isinstance(task.get("fields"), dict) else ""
    digits = space.removeprefix("Discrete(").partition(")")[0]
    if not digits.isdecimal():
        return least
    if len(digits) > 9 or int(digits) > MOST_ACTIONS:
        raise DataError(f"{path / 'dataset.json'} is damaged: it has more than {MOST_ACTIONS:,} actions")
    return max(least, int(digits))


def _read(file: Path) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Read the arrays of an episode and the names of its slots, and check them. Raises: DataError."""
    if not file.exists():
        raise DataError(f"{file} is missing")
    try:
        content = read_arrays(file)
    except CheckpointError as error:
        raise DataError(str(error)) from error
    if missing := [name for name in (*ARRAYS, "slot_names") if name not in content]:
        raise DataError(f"{file} is damaged: it has no {missing[0]}")
    arrays, slot_names = {name: content[name] for name in ARRAYS}, content["slot_names"]
    if slot_names.ndim != 1 or slot_names.dtype.kind != "U":
        raise DataError(f"{file} is damaged: slot_names are no row of texts")
    names = tuple(map(str, slot_names))
    steps = len(arrays["actions"]) if arrays["actions"].ndim == 1 else -1
    for name, (dtype, dimensions) in ARRAYS.items():
        array = arrays[name]
        length = {"colors": len(array) if array.ndim else 0}.get(name, steps + (name in ("frames", "images", "slots")))
        if array.dtype != dtype or array.ndim != dimensions or len(array) != length:
            raise DataError(f"{file} is damaged: {name} is {array.dtype} {array.shape} for {steps} steps")
    ended = (arrays["terminated"] | arrays["truncated"])[:-1]
    numbers, colors = arrays["frames"], arrays["colors"]
    if colors.shape[1] != 3 or (numbers.size and int(numbers.max()) >= len(colors)) or ended.any():
        raise DataError(f"{file} is damaged: a color without a number, or an episode that ends before its end")
    if arrays["slots"].shape[1] != len(names) or (arrays["executed"].size and int(arrays["executed"].min()) < -1):
        raise DataError(f"{file} is damaged: slots without names, or an action below 0")
    if arrays["actions"].size and int(arrays["actions"].min()) < 0:
        raise DataError(f"{file} is damaged: an action below 0")
    if not np.isfinite(arrays["rewards"]).all() or np.isinf(arrays["slots"]).any():
        raise DataError(f"{file} is damaged: a reward or a slot that is no number")
    if arrays["images"].size and int(arrays["images"].min()) < -1:
        raise DataError(f"{file} is damaged: an image below 0")
    return arrays, names


def _renumbered(file: Path, known: Tensor, colors: np.ndarray, frames: np.ndarray) -> tuple[Tensor, np.ndarray]:
    """Return the colors known so far with those of an episode, and its frames in their numbers."""
    table = [tuple(color) for color in known.tolist()]
    numbers = []
    for color in map(tuple, colors.tolist()):
        if color not in table:
            table.append(color)
        numbers.append(table.index(color))
    if len(table) > 256:
        raise DataError(f"{file}: the episodes so far have more than 256 colors together")
    return torch.tensor(table, dtype=torch.uint8).reshape(-1, 3), np.array(numbers, np.uint8)[frames]
