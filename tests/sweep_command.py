"""`agents.sweep` whose trials are short runs (short_run.py) in place of trainings, and short sweeps."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agents import sweep
from agents.experiments import heartbeat, study, trial_runs, worker
from agents.experiments.study import SharedStudy, open_study
from agents.experiments.sweep_plan import Plan, read_sweep

ROOT = Path(__file__).resolve().parent.parent
COMMAND = "python -m agents.reinforce --env CartPole --total-env-steps 400 --eval.every-env-steps 100 --no-film"
SEARCH = "learning_rate = { low = 1e-4, high = 1e-1, log = true }\ngamma = { choices = [0.9, 0.99] }\n"
PAST_END = 10**9


def write_sweep(folder: Path, head: str = "", search: str = SEARCH, pruner: str = "", command: str = COMMAND) -> Path:
    """A sweep of six trials with two seeds, without pruning."""
    plan = {"trials": "6", "seeds": "[1, 2]"}
    given = {line.partition("=")[0].strip() for line in head.splitlines()}
    lines = [f"{key} = {value}" for key, value in plan.items() if key not in given]
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "short.toml"
    pruner = pruner or 'kind = "none"'
    file.write_text(f'command = "{command}"\n' + "\n".join([*lines, head, "[pruner]", pruner, "[search]", search]))
    return file


def shared_study(folder: Path, storage: str | None = None, **changes: str) -> SharedStudy:
    """A short sweep's study, made or joined."""
    return open_study(
        read_sweep(write_sweep(folder, **changes)), "short", storage or str(folder / "journal.log"), folder
    )


def short_words(plan: Plan, words: Sequence[str], seed: int, runs_dir: Path) -> list[str]:
    return [sys.executable, "-m", "short_run", *words, "--seed", str(seed), "--runs-dir", str(runs_dir)]


def use_short_runs(patch: Any = None) -> None:
    """Let trials of this process be short runs; patch: pytest's, which undoes it."""
    set_attribute = setattr if patch is None else patch.setattr
    end_runs = heartbeat.end_runs
    set_attribute(trial_runs, "python_words", short_words)
    for module in (study, worker):
        set_attribute(module, "end_runs", lambda name, folder: end_runs("short_run", folder))
    set_attribute(worker, "SECONDS_BETWEEN_POLLS", 0.05)


def environment(**changes: str) -> dict[str, str]:
    """The environment in which `python -m sweep_command` is found."""
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    return os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"} | changes


def main() -> None:
    use_short_runs()
    words = sweep.worker_words
    sweep.worker_words = lambda config, shared: [  # type: ignore[assignment]
        word if word != "agents.sweep" else "sweep_command" for word in words(config, shared)
    ]
    sweep.main()


if __name__ == "__main__":
    main()
