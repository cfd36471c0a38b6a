"""Jobs, and runs that were stopped, for tests of what makes and continues runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from synthetic_runs import make_run

from agents.experiments.jobs import Job, parse_agent
from rl_gen_lab.cli.settings import WandbConfig


def job(runs_dir: Path, agent: str = "dqn", seed: int = 1, env: str = "Pong", minutes: float | None = 20.0) -> Job:
    return Job(parse_agent(agent), env, seed, minutes, runs_dir, WandbConfig(mode="disabled"))


def stopped_run(root: Path, exp_name: str = "dqn", seed: int = 1, **changes: Any) -> Path:
    """A run that was killed after a checkpoint."""
    path = make_run(root, exp_name, seed, minutes=20.0, steps=9000, **{"status": None} | changes)
    (path / "checkpoints" / "latest").mkdir()
    return path
