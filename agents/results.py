"""Recorded results: one CSV per claim in results/, one row per run, and the README tables made from them.

    python -m agents.results --record pong --what "Pong on 2 cores" runs/dqn__Pong__1__20260101-120000
    python -m agents.results            # write the tables into README.md
    python -m agents.results --check    # exit code 1 when a table is not what the CSVs give

A table stands between `<!-- results:NAME -->` and `<!-- /results:NAME -->` and comes from results/NAME.csv;
`NAME:sentence` gives its first agent in one sentence. Rows of different task fingerprints get tables of their
own and are never ranked together. A CSV with other columns is shown as it is.
"""

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

from agents.commands import cli, command
from agents.learning_curves import (
    RunDataError,
    RunRecord,
    evaluation_curve,
    first_crossing,
    load_run,
    thresholds_for,
)
from agents.statistics import Estimate, score_interval
from rl_gen_lab.errors import ConfigError, UserError, suggest

Row = dict[str, str]

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
MARKER = re.compile(r"<!-- results:(?P<name>\S+) -->\n(?P<body>.*?)<!-- /results:(?P=name) -->", re.DOTALL)
OPENING = re.compile(r"<!-- results:(\S+) -->")


class ResultsError(UserError):
    """A results file or a marker in the README is missing or broken."""


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
    # File that holds the tables.
    readme: Path = Path("README.md")

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        if bool(self.runs) != bool(self.record):
            raise ConfigError("--record NAME and run folders belong together")
        if self.record and not self.what:
            raise ConfigError('--record needs --what "the claim in a few words"')
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
        "threshold": score,
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


def portable(command: Sequence[str]) -> str:
    """A recorded command without `--runs-dir`: that says where one machine kept the run, not how to repeat it."""
    return re.sub(r" --runs[-_]dir[ =]\S+", "", " ".join(command))


def record(file: Path, rows: Sequence[Row]) -> None:
    """Add rows to a CSV, made if absent; a row of the same run is replaced where it stands.

    Raises:
        ResultsError: the file has other columns.
    """
    kept: dict[str, Row] = {}
    if file.exists():
        columns, old = read_csv(file)
        if tuple(columns) != COLUMNS:
            raise ResultsError(f"{file} has other columns than a record of runs; choose another --record name")
        kept = {row["run"]: row for row in old}
    kept |= {row["run"]: row for row in rows}
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(kept.values())


def read_csv(file: Path) -> tuple[list[str], list[Row]]:
    """Column names and rows of a results CSV.

    Raises:
        ResultsError: no such file (with the nearest name), or a row with too many or too few cells.
    """
    if not file.exists():
        names = [other.stem for other in file.parent.glob("*.csv")]
        raise ResultsError(f"no results file {file}.{suggest(file.stem, names)}")
    with file.open(newline="", encoding="utf-8") as handle:
        reader = csv.DictReader(handle)
        rows = list(reader)
    for number, row in enumerate(rows, 2):
        if None in row or None in row.values():
            raise ResultsError(f"{file}: row {number} does not have one cell per column")
    return list(reader.fieldnames or []), rows


# ---------------------------------------------------------------------------------------------------- tables


def _markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def _number(text: str) -> float:
    return float(text) if text else float("nan")


def _median(rows: Sequence[Row], column: str, digits: int = 0) -> str:
    values = [_number(row[column]) for row in rows if row[column]]
    return f"{np.median(values):,.{digits}f}" if values else "-"


def _score(rows: Sequence[Row]) -> Estimate:
    return score_interval([[float(value) for value in row["eval_returns"].split()] for row in rows])


def _score_text(rows: Sequence[Row]) -> str:
    estimate = _score(rows)
    return f"{estimate.value:.1f} [{estimate.low:.1f}, {estimate.high:.1f}]"


def _evidence(rows: Sequence[Row]) -> str:
    """ "3 runs (seeds 1 2 3), 60 episodes"."""
    seeds = " ".join(sorted((row["seed"] for row in rows), key=int))
    word = "run (seed" if len(rows) == 1 else "runs (seeds"
    return f"{len(rows)} {word} {seeds}), {sum(int(row['eval_episodes']) for row in rows)} episodes"


def _solved(rows: Sequence[Row]) -> str:
    """Median minutes and steps to the threshold, and how many runs reached it."""
    if not rows[0]["threshold"]:
        return "-"
    reached = [row for row in rows if row["minutes_to_threshold"]]
    count = f"{len(reached)} of {len(rows)} runs"
    if 2 * len(reached) <= len(rows):
        return f"not reached ({count})"
    # Runs that never got there count as infinitely late, so that a lucky one does not speak for all.
    late = [float("inf")] * (len(rows) - len(reached))
    minutes = float(np.median([float(row["minutes_to_threshold"]) for row in reached] + late))
    steps = float(np.median([float(row["steps_to_threshold"]) for row in reached] + late))
    return f"{minutes:.1f} min, {steps:,.0f} steps ({count})"


def _groups(rows: Sequence[Row], *columns: str) -> list[list[Row]]:
    found: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        found.setdefault(tuple(row[column] for column in columns), []).append(row)
    return list(found.values())


def table(file: Path) -> str:
    """The Markdown of a results CSV: a table per task, best interquartile mean first."""
    columns, rows = read_csv(file)
    if tuple(columns) != COLUMNS:
        return _markdown(columns, [list(row.values()) for row in rows])
    parts = []
    for task in _groups(rows, "fingerprint"):
        scores = {row["threshold"] for row in task}
        solved = (
            f"median time to {float(scores.pop()):g}" if len(scores) == 1 and all(scores) else "median time to score"
        )
        head = [
            "what",
            "agent",
            "final score: IQM [95 % interval]",
            "evidence",
            solved,
            "minutes",
            "env steps",
        ]
        head += ["env steps/s", "peak MB", "hardware"]
        lines = []
        groups = _groups(task, "what", "agent", "hardware", "threshold")
        for group in sorted(groups, key=lambda group: -_score(group).value):
            first = group[0]
            line = [first["what"], first["agent"], _score_text(group), _evidence(group), _solved(group)]
            line += [_median(group, "minutes", 1)]
            line += [_median(group, name) for name in ("env_steps", "steps_per_second", "peak_memory_mb")]
            threads = f", {first['threads']} thread{'s' * (first['threads'] != '1')}" if first["threads"] else ""
            lines.append([*line, first["hardware"] + threads])
        title = f"Task `{task[0]['task']}` (fingerprint `{task[0]['fingerprint']}`)"
        parts.append(f"{title}:\n\n{_markdown(head, lines)}")
    return "\n".join(parts)


def sentence(file: Path) -> str:
    """The first recorded agent of a results CSV in one sentence, for the top of the README."""
    columns, rows = read_csv(file)
    if tuple(columns) != COLUMNS or not rows:
        raise ResultsError(f"{file} records no runs, so there is no sentence to make of it")
    group = _groups(rows, "fingerprint", "what", "agent", "hardware", "threshold")[0]
    first = group[0]
    text = f"{first['agent']} on {first['env_id']}: interquartile mean {_score_text(group)}"
    text += f" after {_median(group, 'minutes', 1)}"
    text += f" minutes (median) on {first['hardware']}; {_evidence(group)}"
    if first["threshold"]:
        text += f"; time to {float(first['threshold']):g}: {_solved(group)}"
    return text + ".\n"


def render(readme: str, results_dir: Path) -> tuple[str, list[str]]:
    """The README with every table made anew, and the names of those that changed.

    Raises:
        ResultsError: a marker is not closed, or its CSV is absent or broken.
    """
    closed = [match["name"] for match in MARKER.finditer(readme)]
    for name in OPENING.findall(readme):
        if name not in closed:
            raise ResultsError(f"the marker <!-- results:{name} --> is not closed by <!-- /results:{name} -->")
    stale = []

    def fill(match: re.Match[str]) -> str:
        name = match["name"]
        stem, _, form = name.partition(":")
        if form not in ("", "sentence"):
            raise ResultsError(f"unknown form in <!-- results:{name} -->: only NAME and NAME:sentence exist")
        file = results_dir / f"{stem}.csv"
        body = (sentence if form else table)(file)
        if body != match["body"]:
            stale.append(name)
        return f"<!-- results:{name} -->\n{body}<!-- /results:{name} -->"

    return MARKER.sub(fill, readme), stale


@command
def main(argv: list[str] | None = None) -> None:
    """Command line entry."""
    options = cli(Options, argv)
    if options.record:
        rows = [row_of(load_run(folder), options.what, options.threshold) for folder in options.runs]
        file = options.results_dir / f"{options.record}.csv"
        record(file, rows)
        print(f"{file}: {len(rows)} rows written")
    if not options.readme.exists():
        raise ResultsError(f"no {options.readme} here; run this in the checkout or give --readme")
    old = options.readme.read_text(encoding="utf-8")
    new, stale = render(old, options.results_dir)
    if options.check:
        if stale:
            print(f"{options.readme} is stale: {', '.join(stale)}. Run: python -m agents.results")
            raise SystemExit(1)
        print(f"{options.readme}: every table is what {options.results_dir} gives")
    elif stale:
        options.readme.write_text(new, encoding="utf-8")
        print(f"{options.readme}: wrote {', '.join(stale)}")


if __name__ == "__main__":
    main()
