"""A vision model from its run folder: ready to look at pictures, without the images that it was trained on."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch

from rl_gen_lab.cli.errors import CheckpointError
from rl_gen_lab.cli.values import from_dict
from rl_gen_lab.data.coco import SPLITS, Label, Thing
from rl_gen_lab.data.dataset import Dataset, Sizes, Split
from rl_gen_lab.runs.checkpoints import load_weights
from rl_gen_lab.runs.folder import RunFolder
from rl_gen_lab.train import TASKS, Config
from rl_gen_lab.training.loop import Task


def task_of(run: RunFolder) -> str:
    """Which task a run is of, e.g. "detect"; "" for a run of something else. Raises: CheckpointError."""
    config = run.read_config().get("config", {})
    return str(config.get("task", "")) if isinstance(config, dict) else ""


def load_task(path: Path, *tasks: str) -> Task:
    """The best model of a run folder, on the CPU. tasks: those that will do.

    Raises: CheckpointError for a folder that holds no such model.
    """
    run = RunFolder.open(path)
    found = task_of(run)
    if found not in tasks:
        what = f"a run of {found!r}" if found else f"a run of {run.read_config().get('exp_name')!r}"
        raise CheckpointError(f"{path} is {what}, not of {' or '.join(map(repr, tasks))}")
    about = run.read_config()
    if found == "caption" and "vocabulary" not in about:
        raise CheckpointError(f"{path} was made before runs kept their captioner's words; train it again")
    if found == "detect" and "sizes" not in about:
        raise CheckpointError(f"{path} was made before runs kept the sizes of their objects; train it again")
    config = from_dict(Config, about["config"], str(run.config_file))
    weights, _ = load_weights(run.checkpoints / "best.safetensors")
    try:
        task = TASKS[found](config, blank(path, about), torch.device("cpu"))
        task.network.load_state_dict(weights)
    except (KeyError, RuntimeError) as error:
        raise CheckpointError(f"{path} does not fit this program: {error}") from error
    task.network.eval().requires_grad_(False)
    return task


def digest(path: Path) -> str:
    """12 hex digits of what a run's model is: its weights. Raises: CheckpointError.

    Of names and numbers, not of the file's bytes: safetensors writes what stands beside them in any order.
    """
    weights, _ = load_weights(RunFolder.open(path).checkpoints / "best.safetensors")
    found = hashlib.sha256()
    for name, tensor in sorted(weights.items()):
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        found.update(tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return found.hexdigest()[:12]


def blank(path: Path, about: dict[str, Any]) -> Dataset:
    """One black picture in place of the data, of its size, with its categories and its words.

    Enough to build the network, whose weights, statistics of pixels and anchors then come from the file. It shows an
    object of each kind, of its whole size, for tasks that look for one.
    """
    height, width = about["image_size"]
    kinds, words = tuple(about["categories"]), about.get("vocabulary", [])
    outline = [[0, 0, width, 0, width, height, 0, height]]
    things = tuple(Thing(i, i, (0, 0, width, height), outline) for i in range(len(kinds)))
    said = (" ".join(words[3:]),) if words else ()
    label = Label(path, None, height, width, None, things, said, {}, dict.fromkeys(about.get("grammar", {}), ""))
    images = torch.zeros(1, 3, height, width, dtype=torch.uint8)
    splits = {name: Split(name, images, (label,)) for name in SPLITS}
    sizes = Sizes(*map(torch.tensor, about["sizes"].values())) if "sizes" in about else None
    return Dataset(path, kinds, splits, torch.zeros(3), torch.ones(3), about.get("grammar", {}), sizes=sizes)
