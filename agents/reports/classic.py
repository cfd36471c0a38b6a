"""Recorded classic features and classifiers beside networks: a row per run, and tables from histogram to network."""

import os
import re
import statistics
from collections.abc import Sequence
from pathlib import Path

from agents.reports import vision
from agents.reports.format import markdown, metrics_from_text
from agents.reports.recorded_runs import groups
from agents.reports.store import ResultsError, Row, read_csv
from rl_gen_lab.runs.folder import RunFolder
from rl_gen_lab.runs.reading import open_file

COLUMNS = (*vision.COLUMNS[:3], "features", "bytes", *vision.COLUMNS[3:])
GOALS = {"top1": "accuracy, %", "balanced_accuracy": "balanced accuracy, %"}


def row_of(run: RunFolder, what: str) -> Row:
    """Return a run as a row of text: that of a vision model, its features, and the bytes of what it keeps.

    Raises:
        RunDataError: the run is not finished, so that its test split was not measured.
        CheckpointError: its weights are lost.
    """
    row = vision.row_of(run, what)
    settings = run.read_config()["config"]
    own = settings[settings["task"]]
    row["features"] = own.get("features") or own.get("backbone") or ""
    with open_file(run.checkpoints / "best.safetensors") as file:
        row["bytes"] = str(file.seek(0, os.SEEK_END))
    return {name: row[name] for name in COLUMNS}


def section(file: Path) -> str:
    """Format a CSV of classic models: a table per set of pictures, worst first; detectors in one of their own.

    Runs that differ in the part of the pictures that is tested, or in their seed, are one line.

    Raises:
        ResultsError: it is a record of something else.
    """
    if not file.exists():
        return "Not recorded yet.\n"
    columns, rows = read_csv(file)
    if tuple(columns) != COLUMNS:
        raise ResultsError(f"{file} does not record classic models")
    keyed = [row | {"pictures": _pictures(row), "goal": _goal(row)} for row in rows]
    return "\n".join(_table(group) for group in groups(keyed, "pictures", "goal"))


def _pictures(row: Row) -> str:
    """Return the name of the pictures, without the part of those of a package that is tested."""
    return re.sub(r"_\d$", "", row["data"]) if "package:" in row["command"] else row["data"]


def _goal(row: Row) -> str:
    """Return the metric that models of one task are compared by: of images of one category each the top1."""
    return "top1" if "top1" in metrics_from_text(row["test"]) else row["goal"]


def _table(rows: Sequence[Row]) -> str:
    first = rows[0]
    goal = first["goal"]
    names = (goal,) if goal in GOALS else tuple(_detection_metrics(rows))
    lines = []
    for same in groups(rows, "task", "model", "features"):
        metrics = [metrics_from_text(row["test"]) for row in same]
        scores = [[values.get(name, 0.0) for values in metrics] for name in names]
        values = [_percent(score) if goal in GOALS else f"{statistics.fmean(score):.3f}" for score in scores]
        latency = statistics.median(float(row["latency_ms"] or 0) for row in same)
        size = statistics.median(int(row["bytes"]) for row in same)
        line = [same[0]["features"], same[0]["model"], *values, f"{latency:.1f}", f"{size:,.0f}"]
        lines.append((statistics.fmean(scores[0]), [*line, str(len(same))]))
    lines.sort(key=lambda line: line[0])
    head = ["features", "classifier", *(GOALS.get(name, name) for name in names), "ms/image, 1 thread", "bytes", "runs"]
    title = f"`{first['pictures']}` ({first['images']}), test split; {first['hardware']}:"
    return f"{title}\n\n{markdown(head, [line for _, line in lines])}"


def _percent(shares: Sequence[float]) -> str:
    mean = f"{100 * statistics.fmean(shares):.1f}"
    return mean if len(shares) == 1 else f"{mean} ± {100 * statistics.stdev(shares):.1f}"


def _detection_metrics(rows: Sequence[Row]) -> list[str]:
    measured = list(metrics_from_text(rows[0]["test"]))
    return [name for name in measured if name == "f1" or name.startswith("f1/") or name in ("ap", "ap50")]
