"""A benchmark: agents x tasks x seeds, ours and Stable-Baselines3's, on the same environments with the same budget.

    python -m agents.benchmark --suite classic
    python -m agents.benchmark --suite classic --tasks CartPole LunarLander --agents ppo sb3:ppo --seeds 3
    python -m agents.benchmark --suite pixels --tasks Pong --minutes 90

A cell is an agent on a task with a seed. A finished cell becomes a row of results/<suite>.csv, and a cell with a row is
never run again (to repeat it, delete the row and the run's folder). After a stop or a kill the same command continues:
our runs exactly where they stopped; a cell of Stable-Baselines3 starts anew. `make results` brings the rows into the
documents.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np

from agents.experiments.jobs import (
    OUR_AGENTS,
    SB3_AGENTS,
    Job,
    parse_agent,
    refuse_wrong_flags,
    seeds_from,
    user_flags,
)
from agents.experiments.launcher import make_all
from agents.experiments.suites import SUITES
from agents.reports.benchmark import losses_text, reasons
from agents.reports.recorded_runs import read_runs, record, row_of
from agents.reports.run_record import load_run
from agents.reports.store import Row
from agents.reports.tasks import BenchmarkTask
from agents.training.cli import cli, command
from rl_gen_lab.cli.errors import ConfigError, suggest
from rl_gen_lab.cli.progress import clock
from rl_gen_lab.cli.settings import Few, Positive, Ranged, Seed, Steps, WandbConfig
from rl_gen_lab.runs.interrupt import EXIT_INTERRUPTED

STOPPED = (EXIT_INTERRUPTED, -signal.SIGTERM, -signal.SIGINT)  # exit codes of runs that were asked to stop
ALL_AGENTS = (*OUR_AGENTS, *(f"sb3:{algo}" for algo in SB3_AGENTS))


@dataclass(frozen=True)
class Config(Ranged):
    """Settings of a benchmark: cells of a suite and limits."""

    # Which tasks (agents/reports/tasks.py), and how they are evaluated (agents/experiments/suites.py).
    suite: Literal["classic", "pixels"] = "classic"
    # Only these tasks of the suite, e.g. CartPole Pendulum (None: all).
    tasks: tuple[str, ...] | None = None
    # Only these agents, e.g. ppo sb3:ppo, or with flags of their own in quotes: "ppo --clip 0.1" (None: all).
    agents: tuple[str, ...] | None = None
    # Runs of each agent on each task.
    seeds: Few = 5
    # Seed of the first run; the others count upward.
    first_seed: Seed = 1
    # Agent steps of each run (None: those of the suite).
    env_steps: Steps | None = None
    # Wall-clock minutes that each run may take (None: no limit besides its steps).
    minutes: Positive | None = None
    # Runs at a time, each with one thread; they slow each other down, so leave 1 to measure times.
    jobs: Few = 1
    # Folder in which only this command makes runs; their output is in its folder `logs`.
    runs_dir: Path = Path("runs/benchmark")
    # Folder of the CSVs.
    results_dir: Path = Path("results")
    # Weights & Biases for the runs.
    wandb: WandbConfig = field(default_factory=WandbConfig)

    def __post_init__(self) -> None:
        """Refuse impossible values, and more runs at a time than there are cores."""
        super().__post_init__()
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        if self.jobs > cores:
            raise ConfigError(f"--jobs {self.jobs}, but this process may use {cores} cores: at most one run per core")
        known = [task.env for task in SUITES[self.suite].tasks]
        if () in (self.tasks, self.agents):  # a shell variable that is empty must not start every run
            raise ConfigError("--tasks and --agents take one name or more; leave them out for all")
        for name in self.tasks or ():
            if name not in known:
                raise ConfigError(
                    f"no task '{name}' in suite {self.suite}.{suggest(name, known)} Known: {', '.join(known)}."
                )


@dataclass(frozen=True)
class Cell:
    """An agent on a task with a seed."""

    job: Job
    # Its budget in words, and the user's flags: rows that agree in it are compared.
    what: str

    @property
    def key(self) -> Row:
        """Columns of its row that identify it."""
        job = self.job
        return {"agent": job.agent.exp_name, "env_id": job.env_id, "seed": str(job.seed), "what": self.what}

    def is_in(self, rows: Sequence[Row]) -> bool:
        """Return whether one of the rows records this cell."""
        flags = user_flags(self.job.agent.flags)
        return any(self.key.items() <= row.items() and user_flags(row["command"].split()) == flags for row in rows)


def cells_of(config: Config) -> list[Cell]:
    """Return the chosen cells; seeds are the outer loop: changes on the machine meanwhile affect all agents alike.

    Raises: ConfigError for agents and tasks of which no two go together.
    """
    chosen = [task for task in SUITES[config.suite].tasks if task.env in (config.tasks or [task.env])]
    tasks = [task for task in chosen if task.unavailable_reason() is None]
    pairs = [
        (task, text)
        for task in tasks
        for text in config.agents or ALL_AGENTS
        if not (task.continuous and parse_agent(text).exp_name in ("dqn", "sb3_dqn"))
    ]
    if tasks and not pairs:
        named = ", ".join(task.env for task in tasks)
        raise ConfigError(f"nothing to run: DQN needs one finite set of actions, and those of {named} are numbers")
    seeds = seeds_from(config.first_seed, config.seeds)
    return [cell_of(config, task, text, seed) for seed in seeds for task, text in pairs]


def cell_of(config: Config, task: BenchmarkTask, text: str, seed: int) -> Cell:
    """Return the cell of an agent (text: its name, perhaps with flags) on a task with a seed."""
    agent = parse_agent(text)
    env_steps = config.env_steps or task.env_steps
    what = [f"{env_steps:,} env steps"]
    if config.minutes is not None:
        what.append(f"at most {config.minutes:g} min")
    what += user_flags(agent.flags)
    flags = [*SUITES[config.suite].flags(task, env_steps), *agent.flags]
    job = Job(replace(agent, flags=flags), task.env, seed, config.minutes, config.runs_dir, config.wandb)
    return Cell(job, ", ".join(what))


def seconds_left(missing: Sequence[Cell], rows: Sequence[Row], jobs: int) -> float | None:
    """Estimate the time of the missing cells, each from the most similar recorded ones; None without any."""
    if not rows:
        return None
    return 60.0 * sum(_minutes_of(cell, rows) for cell in missing) / jobs


def _minutes_of(cell: Cell, rows: Sequence[Row]) -> float:
    similar = list(rows)
    for column in ("what", "env_id", "agent"):
        similar = [row for row in similar if row[column] == cell.key[column]] or similar
    return float(np.mean([float(row["minutes"]) for row in similar]))


def run(config: Config, cells: Sequence[Cell], file: Path) -> list[str]:
    """Make and record the cells that have no row yet; return a line per failure. Exits with 130 when asked to stop."""
    rows = recorded(file)
    missing = [cell for cell in cells if not cell.is_in(rows)]
    jobs = [cell.job for cell in missing]
    refuse_wrong_flags(jobs)
    print(f"{file}: {len(cells) - len(missing)} of {len(cells)} cells are recorded, {len(missing)} to run", flush=True)
    waiting = {id(cell.job): cell for cell in missing}
    failures, logs = [], config.runs_dir / "logs"
    try:
        for outcome in make_all(jobs, config.runs_dir, at_once=config.jobs, resume=True, logs=logs):
            job, folder = outcome.job, outcome.folder
            if folder is None and outcome.code in STOPPED:
                continue
            cell = waiting.pop(id(job))
            name = f"{job.agent.exp_name} on {job.env_id}, seed {job.seed}"
            if folder is None:
                failures.append(f"failed: {name}: exit code {outcome.code}; see {job.log_file(logs)}")
                print(failures[-1], flush=True)
                continue
            row = row_of(load_run(folder), cell.what)
            record(file, [row])
            left = seconds_left(list(waiting.values()), recorded(file), config.jobs) or 0.0
            progress = f"{len(cells) - len(waiting)} of {len(cells)} cells, about {clock(left)} left"
            print(f"{name}: {row['eval_mean']} after {row['minutes']} min; {progress}", flush=True)
    except KeyboardInterrupt:
        pass
    if waiting:
        print(f"stopped with {len(waiting)} cells to run; the same command goes on from here", flush=True)
        raise SystemExit(EXIT_INTERRUPTED)
    return failures


def recorded(file: Path) -> list[Row]:
    """Return the rows of a suite's CSV; none while there is no such file. Raises: ResultsError."""
    return read_runs(file) if file.exists() else []


@command
def main(argv: list[str] | None = None) -> None:
    """Run a suite."""
    config = cli(Config, argv)
    for task in SUITES[config.suite].tasks:
        if (reason := task.unavailable_reason()) and task.env in (config.tasks or [task.env]):
            print(reason)
    file = config.results_dir / f"{config.suite}.csv"
    cells = cells_of(config)
    reasons(file)  # refuse a broken file now, not after hours of runs
    failures = run(config, cells, file)
    print(losses_text(recorded(file), reasons(file)), end="")
    print("into the documents: make results")
    if failures:
        print("\n".join(failures))
        raise SystemExit(1)


if __name__ == "__main__":
    main()
