"""Runs that are recorded at W&B, and their logs read back."""

import time
from pathlib import Path
from typing import Any

from wandb_reader import WandbRun, find_logs, read_wandb_run

from rl_gen_lab.runs.folder import RunFolder
from rl_gen_lab.tracking.tracker import Tracker, WandbConfig

ROOT = Path(__file__).resolve().parent.parent


def start(run: RunFolder, mode: Any = "offline", **other: Any) -> Tracker:
    arguments: dict[str, Any] = {
        "algo": "dqn",
        "env_id": "ALE/Pong-v5",
        "seed": 1,
        "flat_config": {"learning_rate": 1e-4, "seed": 1, "world.size": [84, 84], "wandb.mode": "auto"},
        "fingerprint_hash": "abc123",
    }
    config = other.pop("config", WandbConfig(mode=mode))
    return Tracker.start(run, config, **{**arguments, **other})


def read_back(run: RunFolder) -> WandbRun:
    (file,) = find_logs(run.path)
    return read_finished(file)


def read_finished(file: Path) -> WandbRun:
    """Read a log; W&B's service writes the end of it some milliseconds after `finish` has returned."""
    for _ in range(500):
        found = read_wandb_run(file)
        if found.exit_code is not None:
            break
        time.sleep(0.01)
    return found
