"""Recorded results: one CSV per claim in results/, one row per run; tables and pictures of the README made from them.

    python -m agents.results --record pong --what "Pong on 2 cores" runs/dqn__Pong__1__20260101-120000
    python -m agents.results --record vision --what "Pong, 5,000 frames" runs/RUN
    python -m agents.results            # write the tables into README.md, and the pictures
    python -m agents.results --check    # exit code 1 when a table or a picture is not what the CSVs give

A table stands between `<!-- results:NAME -->` and `<!-- /results:NAME -->` and comes from results/NAME.csv;
`NAME:sentence` gives its first agent in one sentence, `NAME:suite` a benchmark: its picture (results/NAME.png), its
tables, and where Stable-Baselines3 scores higher; `NAME:models` gives vision models (runs of `rl_gen_lab.train`).
Rows of different task fingerprints get tables of their own and are
never ranked together. A CSV with other columns is shown as it is.
"""

import csv
import fcntl
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

from agents.reports import benchmark, vision
from agents.reports.curves import (
    RunDataError,
    RunRecord,
    evaluation_curve,
    first_crossing,
    load_run,
    thresholds_for,
)
from agents.reports.tables import COLUMNS, ResultsError, Row, portable, read_csv, sentence, table
from agents.training.cli import cli, command
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.runs.files import replace_file, save_errors
from rl_gen_lab.runs.folder import RunFolder

MARKER = re.compile(r"<!-- results:(?P<name>\S+) -->\n(?P<body>.*?)<!-- /results:(?P=name) -->", re.DOTALL)
OPENING = re.compile(r"<!-- results:(\S+) -->")
FORMS = {"": table, "sentence": sentence, "suite": benchmark.section, "models": vision.section}


@dataclass(frozen=True)
class Options:
    """Record runs in results/ and write the README's tables from there."""

    # Runs to record, together with --record.
    runs: tyro.conf.Positional[tuple[Path, ...]] = ()
    # Name of the CSV (without .csv) that gets one row per run; a run recorded before is replaced.
    record: str | None = None
    # The claim that the runs stand behind, in a few words.
    what: str = ""
    # Score whose steps and minutes are recorded; none: the highest one known for the environment.
    threshold: float | None = None
    # Only check: exit code 1 when a table is stale.
    check: bool = False
    # Folder of the CSVs.
    results_dir: Path = Path("results")
    # File that holds the tables (None: README.md beside the folder of the CSVs).
    readme: Path | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        if bool(self.runs) != bool(self.record):
            raise ConfigError("--record NAME and run folders belong together")
        if self.record and not self.what:
            raise ConfigError('--record needs --what "the claim in a few words"')
        if self.threshold is not None and not np.isfinite(self.threshold):
            raise ConfigError(f"--threshold must be a number, not {self.threshold}")
        if self.record and self.check:
            raise ConfigError("--check only looks; leave out --record")


# ------------------------------------------------------------------------------------------------- recording


def row_of(run: RunRecord, what: str, threshold: float | None = None) -> Row:
    """One run as a row of text; what is unknown is empty.

    Raises:
        RunDataError: the run is not finished or has no final evaluation.
    """
    if run.status != "finished" or not run.final_returns:
        raise RunDataError(f"{run.folder}: only finished runs with a final evaluation are recorded (is: {run.status})")
    known = thresholds_for(run.env_id)
    score = threshold if threshold is not None else (max(known) if known else None)
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
        "hardware": run.hardware,
        "threads": run.threads,
        "versions": " ".join(f"{name}={version}" for name, version in (run.config.get("versions") or {}).items()),
        "commit": run.config.get("commit"),
        "date": str(run.config.get("started") or "")[:10],
        "command": portable(run.config.get("command") or []),
        "run": run.name,
    }
    return {name: "" if values[name] is None else str(values[name]) for name in COLUMNS}


def any_row(folder: Path, what: str, threshold: float | None) -> Row:
    """`row_of` an agent's run, or `vision_tables.row_of` a vision model's. Raises: RunDataError, CheckpointError."""
    run = RunFolder.open(folder)
    if "fingerprint" in run.read_config() or "data" not in run.read_config():
        return row_of(load_run(folder), what, threshold)
    return vision.row_of(run, what)


def record(file: Path, rows: Sequence[Row]) -> None:
    """Add rows to a CSV, made if absent; a row of the same run is replaced where it stands.

    A kill leaves it whole, and commands that record at the same time wait for each other.

    Raises:
        ResultsError: the rows are of agents and of vision models, or the file has other columns.
        SaveError: it cannot be written.
    """
    kept: dict[str, Row] = {}
    expected = tuple(rows[0]) if rows else COLUMNS
    if any(tuple(row) != expected for row in rows):
        raise ResultsError("agents and vision models are not recorded in one file; record them by two commands")
    with _one_at_a_time(file):
        if file.exists():
            columns, old = read_csv(file)
            if tuple(columns) != expected:
                raise ResultsError(f"{file} has other columns than a record of such runs; choose another --record name")
            kept = {row["run"]: row for row in old}
        kept |= {row["run"]: row for row in rows}
        replace_file(file, lambda new: write_csv(new, list(kept.values())))


@contextmanager
def _one_at_a_time(file: Path) -> Iterator[None]:
    """Hold the folder of a file, which is made if absent, against others who ask for it here. Raises: SaveError."""
    with save_errors(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        folder = os.open(file.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def write_csv(file: Path, rows: Sequence[Row]) -> None:
    """A CSV of recorded runs, of agents where there are none."""
    with file.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, tuple(rows[0]) if rows else COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def refuse_open_markers(readme: str) -> None:
    """Raises: ResultsError for a table that begins and does not end."""
    closed = [match["name"] for match in MARKER.finditer(readme)]
    for name in OPENING.findall(readme):
        if name not in closed:
            raise ResultsError(f"the marker <!-- results:{name} --> is not closed by <!-- /results:{name} -->")


def render(readme: str, results_dir: Path) -> tuple[str, list[str]]:
    """The README with every table made anew, and the names of those that changed.

    Raises:
        ResultsError: a marker's form is unknown, or its CSV is absent or broken.
    """
    stale = []

    def fill(match: re.Match[str]) -> str:
        name = match["name"]
        stem, _, form = name.partition(":")
        if form not in FORMS:
            raise ResultsError(
                f"unknown form in <!-- results:{name} -->: only NAME, NAME:sentence, NAME:suite and NAME:models exist"
            )
        body = FORMS[form](results_dir / f"{stem}.csv")
        if body != match["body"]:
            stale.append(name)
        return f"<!-- results:{name} -->\n{body}<!-- /results:{name} -->"

    return MARKER.sub(fill, readme), stale


def stale_pictures(readme: str, results_dir: Path) -> list[Path]:
    """The CSVs of benchmarks shown in the README whose picture is absent or drawn from other rows."""
    return [file for file in suites_in(readme, results_dir) if not benchmark.picture_is_current(file)]


def suites_in(readme: str, results_dir: Path) -> list[Path]:
    """The CSVs of the benchmarks shown in the README."""
    names = [match["name"].partition(":") for match in MARKER.finditer(readme)]
    return [results_dir / f"{stem}.csv" for stem, _, form in names if form == "suite"]


@command
def main(argv: list[str] | None = None) -> None:
    """Command line entry."""
    options = cli(Options, argv)
    readme = options.readme or Path(os.path.relpath(options.results_dir.resolve().parent / "README.md"))
    if not readme.is_file():
        raise ResultsError(f"no {readme}; run this in the checkout or give --readme")
    old = readme.read_text(encoding="utf-8")
    refuse_open_markers(old)
    if options.record:
        rows = [any_row(folder, options.what, options.threshold) for folder in options.runs]
        file = options.results_dir / f"{options.record}.csv"
        record(file, rows)
        print(f"{file}: {len(rows)} rows written")
    new, stale = render(old, options.results_dir)
    pictures = stale_pictures(old, options.results_dir)
    for file in suites_in(old, options.results_dir):
        print("".join(f"{line}\n" for line in benchmark.reasons_without_a_cell(file)), end="")
    if options.check:
        if stale or pictures:
            late = [*stale, *(f"the picture of {file}" for file in pictures)]
            print(f"{readme} is stale: {', '.join(late)}. Run: python -m agents.results")
            raise SystemExit(1)
        print(f"{readme}: every table and picture is what {options.results_dir} gives")
        return
    for file in pictures:
        print(f"{benchmark.write_picture(file)} drawn")
    if stale:
        readme.write_text(new, encoding="utf-8")
        print(f"{readme}: wrote {', '.join(stale)}")


if __name__ == "__main__":
    main()
