"""The CSVs of recorded runs: a row per training run of an agent."""

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from agents.reports.curves import evaluation_curve, first_crossing
from agents.reports.provenance import provenance_of_run
from agents.reports.run_record import RunDataError, RunRecord
from agents.reports.statistics import Estimate, score_interval
from agents.reports.store import ResultsError, Row, Table, read_csv, upsert
from agents.reports.tasks import thresholds_for

COLUMNS = (
    "what",
    "agent",
    "env_id",
    "fingerprint",
    "task",
    "seed",
    "env_steps",
    "updates",
    "minutes",
    "steps_per_second",
    "peak_memory_mb",
    "eval_mean",
    "eval_std",
    "eval_episodes",
    "eval_returns",
    "threshold",
    "steps_to_threshold",
    "minutes_to_threshold",
    "hardware",
    "threads",
    "versions",
    "commit",
    "date",
    "command",
    "run",
)
# Types of the columns that reports compute with; the second group is empty where no threshold is known or reached.
NUMBERS = {"seed": int, "eval_episodes": int, "minutes": float, "eval_returns": float}
OPTIONAL_NUMBERS = {"threshold": float, "minutes_to_threshold": float, "steps_to_threshold": float}


def row_of(run: RunRecord, what: str, threshold: float | None = None) -> Row:
    """Return a run as a row of text; unknown values are empty.

    Args:
        run: the run.
        what: the claim that it stands for, in a few words.
        threshold: score whose steps and minutes are recorded (None: the highest one known for the environment).

    Raises:
        RunDataError: the run is not finished or has no final evaluation.
    """
    if run.status != "finished" or not run.final_returns:
        raise RunDataError(f"{run.folder}: only finished runs with a final evaluation are recorded (is: {run.status})")
    score = threshold if threshold is not None else max(thresholds_for(run.env_id), default=None)
    crossing = None if score is None else first_crossing(evaluation_curve(run), score)
    values = {
        "what": what,
        "agent": run.exp_name,
        "env_id": run.env_id,
        "fingerprint": run.fingerprint["hash"],
        "task": run.fingerprint["text"],
        "seed": run.seed,
        "env_steps": run.env_steps,
        "updates": run.updates,
        "minutes": round(run.minutes, 2),
        "steps_per_second": run.steps_per_second and round(run.steps_per_second, 1),
        "peak_memory_mb": run.peak_memory_mb and round(run.peak_memory_mb),
        "eval_mean": round(float(np.mean(run.final_returns)), 3),
        "eval_std": round(float(np.std(run.final_returns)), 3),
        "eval_episodes": len(run.final_returns),
        "eval_returns": " ".join(f"{value:g}" for value in run.final_returns),
        "threshold": None if score is None else f"{score:.12g}",
        "steps_to_threshold": crossing and crossing.steps,
        "minutes_to_threshold": crossing and round(crossing.minutes, 2),
        "threads": run.threads,
        "run": run.name,
    } | provenance_of_run(run.config)
    return {name: "" if values[name] is None else str(values[name]) for name in COLUMNS}


def record(file: Path, rows: Sequence[Row]) -> None:
    """Insert rows of runs, of agents or of vision models, into a CSV, in place of earlier rows of the same runs.

    Raises:
        ResultsError: rows of agents and of vision models are mixed, or the file has other columns.
        SaveError: it cannot be written.
    """
    if any(tuple(row) != tuple(rows[0]) for row in rows):
        raise ResultsError("agents and vision models are not recorded in one file; record them by two commands")
    upsert(file, rows, key=("run",), in_place=True, read=read_checked)


def read_checked(file: Path) -> Table:
    """Read any CSV of results; of recorded runs also check the numbers, and that no run stands there twice.

    Raises: ResultsError.
    """
    columns, rows = read_csv(file)
    if tuple(columns) == COLUMNS:
        _check_rows(file, rows)
        for row in rows:
            row["threshold"] = row["threshold"] and f"{float(row['threshold']):.12g}"  # 18 and 18.0 are the same score
    return columns, rows


def read_runs(file: Path, problem: str = "does not record runs") -> list[Row]:
    """Read the rows of recorded runs. Raises: ResultsError, with this `problem` if the columns are others."""
    columns, rows = read_checked(file)
    if tuple(columns) != COLUMNS:
        raise ResultsError(f"{file} {problem}")
    return rows


def _check_rows(file: Path, rows: Sequence[Row]) -> None:
    lines: dict[str, int] = {}
    for line, row in enumerate(rows, 2):
        for name, number in (NUMBERS | OPTIONAL_NUMBERS).items():
            if name in OPTIONAL_NUMBERS and not row[name]:
                continue
            words = row[name].split() if name == "eval_returns" else [row[name]]
            try:
                valid = bool(words) and bool(np.isfinite([number(word) for word in words]).all())
            except ValueError:
                valid = False
            if not valid:
                raise ResultsError(f"{file}: row {line}: {name} is {row[name][:40]!r}, not a number")
        if row["run"] in lines:
            raise ResultsError(f"{file}: rows {lines[row['run']]} and {line} are of the same run, {row['run']}")
        lines[row["run"]] = line


def groups(rows: Sequence[Row], *columns: str) -> list[list[Row]]:
    """Group rows that agree in these columns, in the order in which they first appear."""
    by_values: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        by_values.setdefault(tuple(row[column] for column in columns), []).append(row)
    return list(by_values.values())


def by_seed(rows: Sequence[Row]) -> list[Row]:
    """Sort rows by their seeds."""
    return sorted(rows, key=lambda row: int(row["seed"]))


def returns_of(rows: Sequence[Row]) -> list[list[float]]:
    """Return the returns of the final evaluation's episodes, a list per row."""
    return [[float(value) for value in row["eval_returns"].split()] for row in rows]


def score(rows: Sequence[Row]) -> Estimate:
    """Estimate the interquartile mean of the final returns over the runs of an agent."""
    return _score(tuple(row["eval_returns"] for row in rows))


@functools.cache  # the bootstrap is slow, and a table, its order and a figure need the same
def _score(returns: tuple[str, ...]) -> Estimate:
    return score_interval([[float(value) for value in run.split()] for run in returns])
