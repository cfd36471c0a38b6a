"""Hyper-parameter search: settings of any agent or vision task, tried by many workers on one study.

    python -m agents.sweep configs/sweeps/cartpole_ppo.toml --workers 2

The TOML file names the command to tune and its search space (docs/sweeps.md). Each trial runs that command once for
each seed; trials behind the others after as many steps are ended early. The same command joins a study, on this machine
or, with a database or a shared disk as `--storage`, on another, and goes on after a stop or a kill: no trial is lost or
made twice. At the end, the best settings are written as a preset, with figures and a page of all trials.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro
from annotated_types import Interval

from agents.experiments.slurm import SlurmConfig
from agents.training.cli import cli, command
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.cli.settings import Few, Ranged, WandbConfig
from rl_gen_lab.cli.shell import python, shell

if TYPE_CHECKING:
    from agents.experiments.study import SharedStudy
    from agents.experiments.sweep_plan import Sweep


@dataclass(frozen=True)
class Config(Ranged):
    """Search hyper-parameters."""

    # The sweep: a TOML file with the command to tune and its search space.
    sweep: tyro.conf.Positional[Path]
    # Trials at a time on this machine; the runs of a trial, one for each seed, are processes with one thread each.
    workers: Few = 1
    # Where the study is kept: a journal file, or the URL of a database (None: a journal in the folder of the study).
    storage: str | None = None
    # Name of the study (None: that of the TOML file).
    name: str | None = None
    # Folder in which each study has a folder, with its runs.
    runs_dir: Path = Path("runs/sweeps")
    # Also write the best settings into configs, as the preset of this name.
    write_preset: str | None = None
    # Also record the trials in sweeps.csv of --results-dir.
    record: bool = False
    # Folder of the CSVs.
    results_dir: Path = Path("results")
    # Work on nothing: only write what is known so far, also while others work.
    only_report: bool = False
    # Be the worker of this number, without a display: what --workers starts; 0: start them.
    worker: Annotated[int, Interval(ge=0, le=10_000)] = 0
    # Where workers run: processes of this machine; slurm, jobs of a cluster (the extra `slurm`); submitit, such jobs
    # without a cluster, to try it out; wandb, agents of a W&B sweep, which chooses the settings itself.
    launch: Literal["processes", "slurm", "submitit", "wandb"] = "processes"
    slurm: SlurmConfig = field(default_factory=SlurmConfig)
    # Weights & Biases for the study: a run with its trials and figures; those of the runs are flags of their command.
    wandb: WandbConfig = field(default_factory=WandbConfig)


def open_shared(config: Config, sweep: Sweep) -> SharedStudy:
    """Make or join the study. Raises: UserError."""
    from agents.experiments.study import open_study
    from agents.experiments.sweep_plan import NAME

    name = config.name or config.sweep.stem
    if not NAME.fullmatch(name):
        raise ConfigError(f"'{name}' cannot be the name of a study: letters, digits, '.', '_' and '-', at most 80")
    folder = config.runs_dir / name
    storage = config.storage or str(folder / "journal.log")
    return open_study(sweep, name, storage, folder, join_only=config.only_report)


def worker_words(config: Config, shared: SharedStudy) -> list[str]:
    """Return the command of a worker, without its number."""
    words = [sys.executable, "-m", "agents.sweep", str(config.sweep), "--storage", shared.storage]
    words += ["--name", shared.study.study_name, "--runs-dir", str(config.runs_dir)]
    return [*words, "--worker"]


@command
def main(argv: list[str] | None = None) -> None:
    """Search, or be one worker of a search."""
    config = cli(Config, argv)
    from agents.experiments.preset_file import preset_file
    from agents.experiments.storage import require, shown, storage_errors
    from agents.experiments.sweep_plan import read_sweep
    from agents.experiments.sweep_report import report

    require("optuna")
    sweep = read_sweep(config.sweep)
    if config.write_preset is not None:
        preset_file(sweep, config.write_preset)  # refuses before anything is trained
    if config.launch == "wandb":
        from agents.experiments.wandb_sweep import launch

        launch(sweep, config.runs_dir / (config.name or config.sweep.stem), config.wandb)
        return
    shared = open_shared(config, sweep)
    where = shown(shared.storage)
    with storage_errors(where):
        if config.worker:
            from agents.experiments.worker import Worker

            Worker(shared).run()
            return
        print(
            f"study {shared.study.study_name} in {where}: {len(shared.finished())} of {shared.places} trials are done"
        )
        if len(shared.finished()) < shared.places and not config.only_report:
            more = ["--name", config.name] if config.name else []
            words = [python(), "-m", "agents.sweep", config.sweep, "--storage", where, "--workers", str(config.workers)]
            print(f"more workers, also on other machines: {shell(*words, *more)}", flush=True)
            work(config, shared)
        report(shared, config.wandb, config.write_preset, config.results_dir if config.record else None)


def work(config: Config, shared: SharedStudy) -> None:
    """Let workers go on with the study, here or on a cluster. Raises: UserError; SystemExit 130 where asked to stop."""
    words = worker_words(config, shared)
    if config.launch == "processes":
        from agents.experiments.sweep_workers import LocalWorkers

        LocalWorkers(shared, words, config.workers).run()
        return
    from agents.experiments.slurm import Cluster, follow, submit

    cluster: Cluster = "slurm" if config.launch == "slurm" else "local"
    jobs = submit(cluster, config.slurm, words, config.workers, len(shared.sweep.plan.seeds), shared.folder / "jobs")
    follow(shared, jobs)


if __name__ == "__main__":
    main()
