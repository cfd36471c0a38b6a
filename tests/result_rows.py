"""Rows of recorded runs, for tests of what is made from them."""

from __future__ import annotations

from pathlib import Path

from synthetic_runs import make_run

from agents.reports.recorded_runs import record, row_of
from agents.reports.run_record import load_run
from agents.reports.store import Row


def recorded(tmp_path: Path, seeds: tuple[int, ...] = (1, 2, 3), exp_name: str = "dqn", **changes: object) -> Path:
    """Make runs on Pong and record them in results/pong.csv."""
    file = tmp_path / "results" / "pong.csv"
    runs = [make_run(tmp_path / "runs", exp_name, seed, **changes) for seed in seeds]  # type: ignore[arg-type]
    record(file, [row_of(load_run(path), "Pong on 2 cores") for path in runs])
    return file


def cartpole_row(tmp_path: Path) -> Row:
    """A run of PPO on CartPole."""
    return row_of(load_run(make_run(tmp_path / "runs", "ppo", env_id="CartPole-v1", steps=9000)), "9,000 env steps")


def rows_of(template: Row, agent: str, level: float, seeds: int = 3, **changes: str) -> list[Row]:
    """Runs whose episodes all return about `level`."""
    return [
        template
        | {
            "agent": agent,
            "seed": str(seed),
            "eval_returns": f"{level + seed:g} {level - seed:g}",
            "eval_episodes": "2",
            "run": f"{agent}-{seed}-{changes}",
        }
        | changes
        for seed in range(1, seeds + 1)
    ]
