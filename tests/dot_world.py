"""A tiny world whose dreams have known answers: a dot of 4 x 4 pixels on a torus of 8 x 8 cells, moved by the action.

Leaving on the right, to come back on the left, is worth 1; leaving below ends the game. Nothing is left to chance.
"""

from __future__ import annotations

import functools
import json
import tempfile
from pathlib import Path

import numpy as np
import torch

from rl_gen_lab.compute.optimizers import OptimizerConfig, make_optimizer
from rl_gen_lab.generators.world_models import recording
from rl_gen_lab.generators.world_models.config import DreamConfig
from rl_gen_lab.generators.world_models.pixel_task import PixelDreamTask
from rl_gen_lab.generators.world_models.recording import Recording

CELLS, CELL = 8, 4
MOVES = ((0, 0), (0, 1), (1, 0))  # rows and columns, of each action
CONFIG = DreamConfig(
    context=1, steps=8, width=8, memory=16, codes=0, changed_weight=1.0, noise=0.0, own_frames=0.0, plain_updates=0
)


def frame(row: int, column: int) -> np.ndarray:
    image = np.zeros((CELLS * CELL, CELLS * CELL), np.uint8)
    image[row * CELL : (row + 1) * CELL, column * CELL : (column + 1) * CELL] = 1
    return image


def play(rng: np.random.Generator, steps: int) -> dict[str, np.ndarray]:
    row, column = (int(n) for n in rng.integers(0, CELLS // 2, 2))
    frames, actions, rewards, ends = [frame(row, column)], [], [], []
    while len(actions) < steps and not (ends and ends[-1]):
        action = int(rng.integers(len(MOVES)))
        row, column = (row + MOVES[action][0]) % CELLS, (column + MOVES[action][1]) % CELLS
        frames.append(frame(row, column))
        actions.append(action)
        rewards.append(float(action == 1 and column == 0))
        ends.append(action == 2 and row == 0)
    count = len(actions)
    return {
        "frames": np.stack(frames),
        "colors": np.array([[0, 0, 0], [236, 236, 236]], np.uint8),
        "actions": np.array(actions, np.int16),
        "executed": np.array(actions, np.int16)[:, None],
        "rewards": np.array(rewards, np.float32),
        "terminated": np.array(ends, bool),
        "truncated": np.zeros(count, bool),
        "images": np.full(count + 1, -1, np.int64),
        "slots": np.zeros((count + 1, 0), np.float32),
        "slot_names": np.array([], str),
    }


def write(path: Path, episodes: int = 60, steps: int = 60, seed: int = 0) -> Path:
    rng = np.random.default_rng(seed)
    (path / "transitions").mkdir(parents=True)
    about = []
    for number in range(episodes):
        arrays = play(rng, steps)
        while len(arrays["actions"]) < CONFIG.steps:
            arrays = play(rng, steps)
        np.savez_compressed(path / "transitions" / f"{number:05d}.npz", **arrays)
        about.append({"split": {0: "val", 1: "test"}.get(number % 10, "train")})
    task = {"text": "Dot-v0", "hash": "0" * 12, "fields": {"actions": "Discrete(3)"}}
    (path / "dataset.json").write_text(json.dumps({"task": task, "episodes": about}))
    return path


@functools.cache
def folder() -> Path:
    return write(Path(tempfile.mkdtemp()) / "dot")


def loaded() -> Recording:
    return recording.load(folder(), CONFIG.context, CONFIG.steps)


@functools.cache
def learned(updates: int = 300) -> tuple[PixelDreamTask, Recording]:
    """A task whose model has learned the world without an error."""
    torch.manual_seed(0)
    data = loaded()
    task = PixelDreamTask(CONFIG, data, torch.device("cpu"))
    optimizer = make_optimizer(task.network, OptimizerConfig(learning_rate=5e-3))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, updates)
    split = data.splits["train"]
    for _ in range(updates):
        loss = task.loss(split, torch.randint(len(split), (6,)))["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    task.network.eval().requires_grad_(False)
    return task, data
