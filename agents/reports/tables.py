"""Tables of recorded results: from the rows of a CSV to Markdown. `agents.results` writes them into the README."""

import csv
import functools
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from agents.reports.statistics import Estimate, score_interval
from rl_gen_lab.cli.errors import UserError, suggest

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


# What is computed with, and of which kind; below what may be empty: no threshold is known, or it was not reached.
NUMBERS = {"seed": int, "eval_episodes": int, "minutes": float, "eval_returns": float}
NUMBERS_OR_NONE = {"threshold": float, "minutes_to_threshold": float, "steps_to_threshold": float}
REPEATING = ("commit", "date", "command")  # what repeats a row: in the CSV, not in the README
ALIKE = ("hardware", "threads", "seed")  # said once where all rows agree


class ResultsError(UserError):
    """A results file or a marker in the README is missing or broken."""


def read_csv(file: Path) -> tuple[list[str], list[Row]]:
    """Column names and rows of a results CSV.

    Raises:
        ResultsError: no such file (with the nearest name), or one that cannot be read; a row with too many or too few
            cells; of recorded runs also a number that is none, and a run that stands there twice.
    """
    if not file.exists():
        names = [other.stem for other in file.parent.glob("*.csv")]
        raise ResultsError(f"no results file {file}.{suggest(file.stem, names)}")
    try:
        with file.open(newline="", encoding="utf-8") as handle:
            reader = csv.DictReader(handle)
            columns, rows = list(reader.fieldnames or []), list(reader)
    except (OSError, ValueError, csv.Error) as error:  # a folder, bytes that are no text, a field without an end
        raise ResultsError(f"cannot read {file}: {error}") from error
    for number, row in enumerate(rows, 2):
        if None in row or None in row.values():
            raise ResultsError(f"{file}: row {number} does not have one cell per column")
    if tuple(columns) == COLUMNS:
        _check_runs(file, rows)
        for row in rows:
            row["threshold"] = row["threshold"] and f"{float(row['threshold']):.12g}"  # 18 and 18.0 are one score
    return columns, rows


def _check_runs(file: Path, rows: Sequence[Row]) -> None:
    """What tables and pictures are computed from: a run that stood there twice would count twice."""
    seen: dict[str, int] = {}
    for number, row in enumerate(rows, 2):
        for name, kind in (NUMBERS | NUMBERS_OR_NONE).items():
            if name in NUMBERS_OR_NONE and not row[name]:
                continue
            words = row[name].split() if name == "eval_returns" else [row[name]]
            try:
                right = bool(words) and bool(np.isfinite([kind(word) for word in words]).all())
            except ValueError:
                right = False
            if not right:
                raise ResultsError(f"{file}: row {number}: {name} is {row[name][:40]!r}, not a number")
        if row["run"] in seen:
            raise ResultsError(f"{file}: rows {seen[row['run']]} and {number} are of the same run, {row['run']}")
        seen[row["run"]] = number


def portable(command: Sequence[str]) -> str:
    """A recorded command without `--runs-dir`: that says where one machine kept the run, not how to repeat it."""
    return re.sub(r" --runs[-_]dir[ =]\S+", "", " ".join(command))


# ---------------------------------------------------------------------------------------------------- tables


def markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; a cell of several lines, as in reasons.toml, becomes one."""
    lines = [columns, ["---"] * len(columns), *rows]
    cells = ([cell.strip().replace("\n", " ").replace("|", "\\|") for cell in line] for line in lines)
    return "".join("| " + " | ".join(line) + " |\n" for line in cells)


def _number(text: str) -> float:
    return float(text) if text else float("nan")


def _median(rows: Sequence[Row], column: str, digits: int = 0) -> str:
    values = [_number(row[column]) for row in rows if row[column]]
    return f"{np.median(values):,.{digits}f}" if values else "-"


def returns_of(rows: Sequence[Row]) -> list[list[float]]:
    """Returns of the final evaluation's episodes, a list for each row."""
    return [[float(value) for value in row["eval_returns"].split()] for row in rows]


def score(rows: Sequence[Row]) -> Estimate:
    """Interquartile mean of the final returns of an agent's runs, with its interval."""
    return _score(tuple(row["eval_returns"] for row in rows))


@functools.cache  # the bootstrap is slow, and a table, its order and a picture ask for the same
def _score(returns: tuple[str, ...]) -> Estimate:
    return score_interval([[float(value) for value in run.split()] for run in returns])


def score_text(rows: Sequence[Row]) -> str:
    """ "19.8 [19.1, 20.3]"."""
    return estimate_text(score(rows))


def estimate_text(estimate: Estimate) -> str:
    """ "19.8 [19.1, 20.3]"."""
    return f"{estimate.value:.1f} [{estimate.low:.1f}, {estimate.high:.1f}]"


def by_seed(rows: Sequence[Row]) -> list[Row]:
    """Rows in the order of their seeds."""
    return sorted(rows, key=lambda row: int(row["seed"]))


def evidence(rows: Sequence[Row]) -> str:
    """ "3 runs (seeds 1 2 3), 60 episodes"."""
    seeds = " ".join(row["seed"] for row in by_seed(rows))
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
    unit, times, digits = ("s", 60, 0) if minutes < 1 else ("min", 1, 1)
    each = ", ".join(f"{times * float(row['minutes_to_threshold'] or 'inf'):.{digits}f}" for row in by_seed(rows))
    text = f"{times * minutes:.{digits}f} {unit}, {steps:,.0f} steps ({count}"
    return text + (f": {each.replace('inf', 'never')} {unit} by seed)" if len(rows) > 1 else ")")


def groups(rows: Sequence[Row], *columns: str) -> list[list[Row]]:
    """Rows that agree in these columns, in the order in which they first appear."""
    found: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        found.setdefault(tuple(row[column] for column in columns), []).append(row)
    return list(found.values())


def table(file: Path) -> str:
    """The Markdown of a results CSV: a table per task, best interquartile mean first."""
    columns, rows = read_csv(file)
    if tuple(columns) != COLUMNS:
        return _plain_table(file, _ratios(rows) if "pair" in columns else rows)
    parts = []
    for task in groups(rows, "fingerprint"):
        scores = {row["threshold"] for row in task}
        head = ["what", "agent", "final score: IQM [95 % interval]", "evidence"]
        timed = any(scores)
        if timed:
            head.append(f"median time to {float(scores.pop()):g}" if len(scores) == 1 else "median time to score")
        head += ["minutes", "env steps", "env steps/s", "peak MB", "hardware"]
        lines = []
        found = groups(task, "what", "agent", "hardware", "threshold")
        for group in sorted(found, key=lambda group: -score(group).value):
            first = group[0]
            line = [first["what"], first["agent"], score_text(group), evidence(group)]
            line += [_solved(group)] if timed else []
            line += [_median(group, "minutes", 1)]
            line += [_median(group, name) for name in ("env_steps", "steps_per_second", "peak_memory_mb")]
            threads = f", {first['threads']} thread{'s' * (first['threads'] != '1')}" if first["threads"] else ""
            lines.append([*line, first["hardware"] + threads])
        title = f"Task `{task[0]['task']}` (fingerprint `{task[0]['fingerprint']}`)"
        parts.append(f"{title}:\n\n{markdown(head, lines)}")
    return "\n".join(parts)


def _plain_table(file: Path, rows: Sequence[Row]) -> str:
    """Every row; what is the same in all of them, and what only repeats a row, stands below the table."""
    if not rows:
        return "No rows yet.\n"
    same = [name for name in ALIKE if len({row.get(name) for row in rows}) == 1 and rows[0].get(name)]
    shown = [name for name in rows[0] if name not in (*REPEATING, *same)]
    notes = [f"{name.capitalize()}: {rows[0][name]}." for name in same]
    notes.append(f"Commit, date and command of every row: `results/{file.name}`.")
    return markdown(shown, [[row[name] for name in shown] for row in rows]) + f"\n{' '.join(notes)}\n"


def _ratios(rows: Sequence[Row]) -> list[Row]:
    """Of rows measured in interleaved pairs, one row a contest: both medians [slowest, fastest] and their ratio."""
    found = []
    for row in (row for row in rows if row["pair"] == "medians"):
        line = {"ours / reference": row["agent"], "work": row["work"]}
        for side, agent in zip(("ours", "reference"), row["agent"].split(" / "), strict=True):
            speeds = [
                float(one["env_steps_per_second"])
                for one in rows
                if one["agent"] == agent and all(one[key] == row[key] for key in ("work", "hardware", "threads"))
            ]
            line[f"{side}, env steps/s"] = f"{np.median(speeds):,.0f} [{min(speeds):,.0f}, {max(speeds):,.0f}]"
        line |= {"ratio of medians": row["env_steps_per_second"], "pairs": str(len(speeds))}
        found.append(line | {key: row[key] for key in ("threads", "hardware")})
    return found


def sentence(file: Path) -> str:
    """The first recorded agent of a results CSV in one sentence, for the top of the README."""
    columns, rows = read_csv(file)
    if tuple(columns) != COLUMNS or not rows:
        raise ResultsError(f"{file} records no runs, so there is no sentence to make of it")
    group = groups(rows, "fingerprint", "what", "agent", "hardware", "threshold")[0]
    first = group[0]
    text = f"{first['agent']} on {first['env_id']}: interquartile mean {score_text(group)}"
    text += f" after {_median(group, 'minutes', 1)}"
    text += f" minutes (median) on {first['hardware']}; {evidence(group)}"
    if first["threshold"]:
        text += f"; time to {float(first['threshold']):g}: {_solved(group)}"
    return text + ".\n"
