"""Agents side by side: learning curves, scores, time to solve, speed and memory, with the doubt that remains.

    python -m agents.compare runs/dqn__Pong__1__20260101-120000 runs/sb3_dqn__Pong__1__20260101-130000
    python -m agents.compare --env Pong --agents dqn sb3:dqn --seeds 3 --minutes 30

The second form first makes the runs, one after the other; a run that is finished is not made again, so the
same command continues after an interruption. Runs whose task fingerprints differ are not ranked (exit code 2,
with what differs).
"""

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import tyro

from agents.experiments.launcher import Job, make_all, parse_agent
from agents.reports import comparison as report
from agents.reports import figure, html
from agents.reports.comparison import Comparison, Group
from agents.reports.curves import (
    RunRecord,
    evaluation_curve,
    first_crossing,
    load_run,
    thresholds_for,
    training_curve,
)
from agents.reports.statistics import difference_interval, score_interval, stratified_interval
from agents.training.cli import cli, command
from envs import names
from rl_gen_lab.cli.errors import ConfigError, UserError
from rl_gen_lab.cli.settings import WandbConfig
from rl_gen_lab.runs.files import save_errors
from rl_gen_lab.runs.folder import RunFolder
from rl_gen_lab.tracking.tracker import Tracker

# Settings that say where a run is kept or shown, not how it learns; `env` is compared by its full id.
NOT_THE_AGENT = (
    "env",
    "seed",
    "wandb",
    "run.total_minutes",
    "run.runs_dir",
    "run.resume",
    "run.film",
    "run.log_every_env_steps",
)


class IncomparableRunsError(UserError):
    """Runs of different tasks: a ranking would mean nothing."""


@dataclass(frozen=True)
class Config:
    """Compare finished runs, or make them first."""

    # Run folders to compare; leave out to make the runs with --env and --agents.
    runs: tyro.conf.Positional[tuple[Path, ...]] = ()
    # World for the runs to make, e.g. Pong.
    env: str | None = None
    # Agents to run: "dqn", "sb3:dqn", or with flags of their own in quotes: "dqn --n-step 1".
    agents: tuple[str, ...] = ()
    # Runs per agent.
    seeds: int = 3
    # Seed of the first run; the others count upward.
    first_seed: int = 1
    # Wall-clock minutes that each run may take.
    minutes: float = 30.0
    # Where runs are made and looked for.
    runs_dir: Path = Path("runs")
    # Where the comparison's own folder is made.
    out: Path = Path("comparisons")
    # Scores to time; none given: those known for the environment.
    thresholds: tuple[float, ...] = ()
    # Weights & Biases, for the comparison and the runs it makes.
    wandb: WandbConfig = field(default_factory=WandbConfig)

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        if bool(self.runs) == bool(self.agents):
            raise ConfigError("give either run folders, or --env and --agents to make the runs")
        if bool(self.agents) != bool(self.env):
            raise ConfigError("--env and --agents belong together, e.g. --env Pong --agents dqn sb3:dqn")
        if self.seeds < 1 or self.minutes <= 0:
            raise ConfigError("--seeds must be at least 1 and --minutes above 0")


# ------------------------------------------------------------------------------------------- making the runs


def make_runs(config: Config) -> Iterator[Path]:
    """Make the missing runs, one after the other, and give the folder of each.

    Seeds are the outer loop: what changes on the machine during the hours meets all agents alike.

    Raises:
        RunFailedError: a run ended with an error or left no finished record.
    """
    specs = [parse_agent(text) for text in config.agents]
    jobs = [
        Job(spec, str(config.env), config.first_seed + i, config.minutes, config.runs_dir, config.wandb)
        for i in range(config.seeds)
        for spec in specs
    ]
    for outcome in make_all(jobs, config.runs_dir):
        yield outcome.checked()


# ---------------------------------------------------------------------------------------- comparing the runs


def task_differences(left: RunRecord, right: RunRecord) -> list[str]:
    """Fields of the task in which two runs differ: ["sticky: 0.25 vs 0.0"]."""
    if left.fingerprint.get("hash") == right.fingerprint.get("hash"):
        return []
    a, b = left.fingerprint.get("fields") or {}, right.fingerprint.get("fields") or {}
    keys = [key for key in dict.fromkeys([*a, *b]) if a.get(key) != b.get(key)]
    fields = [f"{key}: {a.get(key, 'absent')} vs {b.get(key, 'absent')}" for key in keys]
    return fields or [f"hash: {left.fingerprint.get('hash')} vs {right.fingerprint.get('hash')}"]


def check_comparable(runs: Sequence[RunRecord]) -> None:
    """Refuse runs of different tasks.

    Raises:
        IncomparableRunsError: with every differing field of each run that differs from the first.
    """
    lines = []
    for run in runs[1:]:
        if fields := task_differences(runs[0], run):
            lines.append(f"{runs[0].name} and {run.name} differ in {'; '.join(fields)}")
    if lines:
        raise IncomparableRunsError("runs of different tasks cannot be ranked. " + ". ".join(lines))


def group_runs(runs: Sequence[RunRecord]) -> dict[str, list[RunRecord]]:
    """Runs by agent; one agent with several configurations gives several groups, labelled by what differs."""
    settings: dict[Path, dict[str, Any]] = {}
    for run in runs:
        flat = flatten(run.config["config"])
        own = {k: v for k, v in flat.items() if not {k, k.partition(".")[0]} & set(NOT_THE_AGENT)}
        settings[run.folder] = own
    groups: dict[str, list[RunRecord]] = {}
    for run in runs:
        alike = [settings[other.folder] for other in runs if other.exp_name == run.exp_name]
        # A setting that a run of another version does not know counts as None: switched off.
        keys = sorted(key for key in set().union(*alike) if len({str(own.get(key)) for own in alike}) > 1)
        words = [f"{key}={settings[run.folder].get(key)}" for key in keys]
        label = run.exp_name + (f" ({', '.join(words)})" if words else "")
        groups.setdefault(label, []).append(run)
    return groups


def flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"a": {"b": 1}} -> {"a.b": 1}."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat


def compare_runs(runs: Sequence[RunRecord], thresholds: Sequence[float] = ()) -> Comparison:
    """Summaries and ranking of runs of one task.

    Args:
        runs: at least one.
        thresholds: scores to time; empty: those known for the environment.

    Raises:
        IncomparableRunsError: the task fingerprints differ.
    """
    check_comparable(runs)
    first = runs[0]
    scores = tuple(thresholds) or thresholds_for(first.env_id)
    groups = []
    for label, members in group_runs(runs).items():
        evaluation = [evaluation_curve(run) for run in members]
        returns = [run.final_returns for run in members if run.final_returns]
        groups.append(
            Group(
                label=label,
                runs=members,
                training=[training_curve(run) for run in members],
                evaluation=evaluation,
                score=score_interval(returns) if returns else None,
                measured=stratified_interval(returns) if returns else None,
                crossings={score: [first_crossing(curve, score) for curve in evaluation] for score in scores},
            )
        )
    groups.sort(key=lambda group: -group.score.value if group.score else float("inf"))
    differences = []
    for better, worse in pairwise(group for group in groups if group.score):
        gap = difference_interval(_returns(better), _returns(worse))
        differences.append((better.label, worse.label, gap))
    created = time.strftime("%Y-%m-%d %H:%M")
    return Comparison(first.env_id, first.fingerprint, created, groups, differences, caveats(groups))


def _returns(group: Group) -> list[list[float]]:
    return [run.final_returns for run in group.runs if run.final_returns]


def caveats(groups: Sequence[Group]) -> list[str]:
    """What a reader must know before believing the ranking, one sentence each."""
    runs = [run for group in groups for run in group.runs]
    notes = [f"{run.name} is not finished (status: {run.status})." for run in runs if run.status != "finished"]
    notes += [
        f"{run.name} has no final evaluation and does not count in the score." for run in runs if not run.final_returns
    ]
    for group in groups:
        if len(group.runs) == 1:
            notes.append(f"{group.label}: one run; its intervals are over episodes and say nothing about other seeds.")
        seeds = [run.seed for run in group.runs]
        if len(set(seeds)) < len(seeds):
            notes.append(f"{group.label}: seeds {seeds} repeat; runs of one seed are not independent evidence.")
    for what, values in {
        "hardware": [run.hardware for run in runs],
        "threads": [str(run.threads) for run in runs],
        "commit": [str(run.config.get("commit"))[:10] for run in runs],
        "versions": [str(sorted((run.config.get("versions") or {}).items())) for run in runs],
    }.items():
        if len(set(values)) > 1:
            notes.append(f"{what} differ between runs: {' / '.join(dict.fromkeys(values))}.")
    for key in ("episodes", "epsilon", "max_episode_frames"):
        rules = {
            str(((run.result.get("final_eval") or {}).get("protocol") or {}).get(key))
            for run in runs
            if run.final_returns
        }
        if len(rules) > 1:
            notes.append(f"final evaluations were made by different rules: {key} {' vs '.join(sorted(rules))}.")
    spans = [run.minutes for run in runs]
    if max(spans) > 1.2 * min(spans):
        notes.append(f"runs had different wall-clock time: {min(spans):.1f} to {max(spans):.1f} minutes.")
    return notes


# ------------------------------------------------------------------------------------------------- reporting


def write_comparison(comparison: Comparison, out: Path) -> Path:
    """Make `<out>/<env>__<time>/` with learning_curves.png, comparison.json, index.html; give the folder.

    Raises: SaveError.
    """
    env = names.short_name(comparison.env_id).replace("/", "-")
    stem, number = f"{env}__{time.strftime('%Y%m%d-%H%M%S')}", 1
    folder = out / stem
    while folder.exists():
        number += 1
        folder = out / f"{stem}-{number}"
    with save_errors(folder):
        folder.mkdir(parents=True)
        figure.write_figure(comparison, folder / "learning_curves.png")
        (folder / "comparison.json").write_text(
            json.dumps(report.to_json(comparison), indent=1) + "\n", encoding="utf-8"
        )
        html.write_page(comparison, folder / "learning_curves.png", folder / "index.html")
    return folder


def track(comparison: Comparison, folder: Path, config: WandbConfig) -> None:
    """The same tables and figure as a W&B run of job type "compare"."""
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
        tracker.table("compare/scores", *report.score_table(comparison))
        tracker.table("compare/runs", *report.run_table(comparison))
        scores = {group.label: group.score for group in comparison.groups if group.score}
        tracker.summary({f"score/{label}": score.value for label, score in scores.items()})


@command
def main(argv: list[str] | None = None) -> None:
    """Command line entry."""
    config = cli(Config, argv)
    folders = list(config.runs) or list(make_runs(config))
    runs = {run.folder: run for run in map(load_run, folders)}  # a folder given twice is one run
    comparison = compare_runs(list(runs.values()), config.thresholds)
    folder = write_comparison(comparison, config.out)
    for group in comparison.groups:
        count = f"{len(group.runs)} run{'s' * (len(group.runs) > 1)}"
        print(f"{group.label}: {report.interval(group.score)} ({count})")
    print("\n".join([*report.verdicts(comparison), *(f"note: {note}" for note in comparison.caveats)]))
    track(comparison, folder, config.wandb)
    print(f"comparison: {folder / 'index.html'}")


if __name__ == "__main__":
    main()
