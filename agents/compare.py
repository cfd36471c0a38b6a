"""Agents side by side: learning curves, scores, time to solve, speed and memory, with the remaining uncertainty.

    python -m agents.compare runs/dqn__Pong__1__20260101-120000 runs/sb3_dqn__Pong__1__20260101-130000
    python -m agents.compare --env Pong --agents dqn sb3:dqn --seeds 3 --minutes 30

The second form first makes the runs, one after the other; a finished run is not made again, so the same command
continues after an interruption. Runs whose task fingerprints differ are not ranked (exit code 2, with the differences).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import tyro

from agents.experiments.jobs import Job, parse_agent, refuse_wrong_flags, seeds_from
from agents.experiments.launcher import make_all
from agents.reports.comparison import Comparison, compare_runs
from agents.reports.comparison_folder import write_comparison
from agents.reports.comparison_tables import run_table, score_table, verdicts
from agents.reports.format import interval
from agents.reports.run_record import load_run
from agents.training.cli import cli, command
from envs import names
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.cli.settings import Few, Positive, Ranged, Score, Seed, WandbConfig
from rl_gen_lab.cli.wording import count
from rl_gen_lab.runs.folder import RunFolder
from rl_gen_lab.tracking.tracker import Tracker


@dataclass(frozen=True)
class Config(Ranged):
    """Compare finished runs, or make them first."""

    # Run folders to compare; leave out to make the runs with --env and --agents.
    runs: tyro.conf.Positional[tuple[Path, ...]] = ()
    # Environment of the runs to make, e.g. Pong.
    env: str | None = None
    # Agents to run: "dqn", "sb3:dqn", or with flags of their own in quotes: "dqn --n-step 1".
    agents: tuple[str, ...] = ()
    # Runs per agent.
    seeds: Few = 3
    # Seed of the first run; the others count upward.
    first_seed: Seed = 1
    # Wall-clock minutes that each run may take.
    minutes: Positive = 30.0
    # Folder in which runs are made and looked for.
    runs_dir: Path = Path("runs")
    # Folder in which the comparison's own folder is made.
    out: Path = Path("comparisons")
    # Scores to time (none: those known for the environment).
    thresholds: tuple[Score, ...] = ()
    # Weights & Biases, for the comparison and the runs it makes.
    wandb: WandbConfig = field(default_factory=WandbConfig)

    def __post_init__(self) -> None:
        """Refuse impossible combinations."""
        super().__post_init__()
        if bool(self.runs) == bool(self.agents):
            raise ConfigError("give either run folders, or --env and --agents to make the runs")
        if bool(self.agents) != bool(self.env):
            raise ConfigError("--env and --agents belong together, e.g. --env Pong --agents dqn sb3:dqn")


def make_runs(config: Config) -> Iterator[Path]:
    """Make the missing runs, one after the other, and yield the folder of each.

    Seeds are the outer loop: changes on the machine during the hours affect all agents alike.

    Raises:
        ConfigError: seeds or flags that the runs would refuse, before any is made.
        RunFailedError: a run ended with an error or left no finished record.
    """
    specs = [parse_agent(text) for text in config.agents]
    jobs = [
        Job(spec, str(config.env), seed, config.minutes, config.runs_dir, config.wandb)
        for seed in seeds_from(config.first_seed, config.seeds)
        for spec in specs
    ]
    refuse_wrong_flags(jobs)
    for outcome in make_all(jobs, config.runs_dir):
        yield outcome.checked()


def track(comparison: Comparison, folder: Path, config: WandbConfig) -> None:
    """Log tables and figure as a W&B run of job type "compare"."""
    runs = [run.name for group in comparison.groups for run in group.runs]
    tracker = Tracker.start(
        RunFolder(folder),
        config,
        algo="compare",
        env_id=comparison.env_id,
        seed=0,
        flat_config={"agents": [group.label for group in comparison.groups], "runs": runs},
        fingerprint_hash=str(comparison.fingerprint.get("hash")),
        job_type="compare",
    )
    with tracker:
        tracker.image("compare/learning_curves", folder / "learning_curves.png", 0)
        tracker.table("compare/scores", *score_table(comparison))
        tracker.table("compare/runs", *run_table(comparison))
        scores = {group.label: group.score for group in comparison.groups if group.score}
        tracker.summary({f"score/{label}": score.value for label, score in scores.items()})


@command
def main(argv: list[str] | None = None) -> None:
    """Compare runs."""
    config = cli(Config, argv)
    folders = list(config.runs) or list(make_runs(config))
    runs = {run.folder: run for run in map(load_run, folders)}  # a folder given twice is a single run
    comparison = compare_runs(list(runs.values()), config.thresholds)
    folder = write_comparison(comparison, config.out, names.short_name(comparison.env_id))
    for group in comparison.groups:
        print(f"{group.label}: {interval(group.score)} ({count(len(group.runs), 'run')})")
    print("\n".join([*verdicts(comparison), *(f"note: {note}" for note in comparison.caveats)]))
    track(comparison, folder, config.wandb)
    print(f"comparison: {folder / 'index.html'}")


if __name__ == "__main__":
    main()
