"""A run that a sweep can start in place of a training: four evaluations, a checkpoint after each, and a result.

    python -m short_run --learning-rate 0.01 --seed 1 --runs-dir FOLDER
    python -m short_run --resume RUN

Its score rises to -100 (log10(learning rate) + 2)^2. SHORT_RUN_SECONDS is the pause before each evaluation,
SHORT_RUN_ERROR a learning rate from which on it fails.
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
from pathlib import Path

from rl_gen_lab.runs.folder import RunFolder

EVALUATIONS, EVERY = 4, 100


def score_of(learning_rate: float, seed: int) -> float:
    return -100 * (math.log10(learning_rate) + 2) ** 2 + 0.1 * (seed % 2)


def flag(name: str, default: str = "") -> str:
    return sys.argv[sys.argv.index(name) + 1] if name in sys.argv else default


def main() -> None:
    resume = flag("--resume")
    if resume:
        run = RunFolder.open(Path(resume))
        config = run.read_config()
    else:
        seed, rate = int(flag("--seed")), float(flag("--learning-rate", "0.001"))
        run = RunFolder.create(Path(flag("--runs-dir")), "short", "None", seed)
        config = {"seed": seed, "config": {"learning_rate": rate}, "command": sys.argv}
        run.write_config(config)
    with run.lock():
        seed, rate = int(config["seed"]), float(config["config"]["learning_rate"])
        if rate >= float(os.environ.get("SHORT_RUN_ERROR", "inf")):
            sys.exit("error: the disk is on fire")
        done = len(run.read_metrics())
        for number in range(done + 1, EVALUATIONS + 1):
            time.sleep(float(os.environ.get("SHORT_RUN_SECONDS", "0.05")))
            value = score_of(rate, seed) - (EVALUATIONS - number)
            run.append_metrics({"global_step": number * EVERY, "eval/return_mean": value})
            (run.checkpoints / "latest").mkdir(exist_ok=True)
        totals = {"total_env_steps": EVALUATIONS * EVERY, "wall_seconds": 1.0}
        run.write_result({"status": "finished", **totals, "final_eval": {"return_mean": score_of(rate, seed)}})
        with (run.path.parent / "finished.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps({"pid": os.getpid(), "resumed": bool(resume)}) + "\n")


if __name__ == "__main__":
    main()
