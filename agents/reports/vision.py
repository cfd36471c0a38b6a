"""Recorded vision models: a row per run of `rl_gen_lab.train`, and the tables of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agents.reports.format import markdown, metrics_from_text, metrics_to_text
from agents.reports.provenance import provenance_of_run
from agents.reports.recorded_runs import groups
from agents.reports.run_record import RunDataError
from agents.reports.store import ResultsError, Row, read_csv
from rl_gen_lab.runs.folder import RunFolder

COLUMNS = (
    "what",
    "task",
    "model",
    "data",
    "labels",
    "images",
    "seed",
    "epochs",
    "best_epoch",
    "updates",
    "minutes",
    "parameters",
    "latency_ms",
    "goal",
    "test",
    "val",
    "peak_memory_mb",
    "hardware",
    "threads",
    "versions",
    "commit",
    "date",
    "command",
    "run",
)
# Metrics of the test split that a table shows, in this order; "f1/" stands for the f1/... of every category.
SHOWN = {
    "classify": ("balanced_accuracy", "balanced_accuracy/", "accuracy"),
    "localize": ("f1", "mean_iou", "ap", "ap50", "balanced_accuracy"),
    "detect": ("f1", "f1/", "ap", "ap50", "mask_ap", "mask_ap50", "proposal_recall"),
    "dream": (
        *("elbo_bits", "log_likelihood_bits", "code_bits", "code_log_likelihood_bits", "code_log_likelihood_nats"),
        *("wrong_pixels", "wrong_pixels/", "rewards_found", "ends_found", "false_rewards", "false_ends"),
    ),
    "generate": ("elbo_bits", "log_likelihood_bits", "code_bits", "elbo_nats", "wrong_pixels", "found/"),
    "segment": ("miou", "iou/", "accuracy"),
}
TIMES = ("ms_per_image",)  # metrics of a split that say nothing about quality


def row_of(run: RunFolder, what: str) -> Row:
    """Return a run as a row of text; unknown values are empty.

    Raises:
        RunDataError: the run is not finished, so that its test split was not measured.
    """
    config = run.read_config()
    result = run.read_result() if run.result_file.is_file() else {}
    if result.get("status") != "finished" or not result.get("test"):
        status = result.get("status", "no result")
        raise RunDataError(f"{run.path}: only finished runs with a measured test split are recorded (is: {status})")
    try:
        values = _values_of(config, result) | {"what": what, "run": run.path.resolve().name}
    except (KeyError, TypeError, AttributeError) as error:
        raise RunDataError(f"{run.path}: its record lacks {error}; was it written by rl_gen_lab.train?") from error
    return {name: "" if values[name] is None else str(values[name]) for name in COLUMNS}


def _values_of(config: dict[str, Any], result: dict[str, Any]) -> dict[str, Any]:
    """Return what a row says of a run by its config.json and result.json. Raises: KeyError etc. for what they lack."""
    settings = config["config"]
    sizes = config.get("images") or config.get("steps") or {}
    return {
        "task": settings["task"],
        "model": settings[settings["task"]]["model"],
        "data": config["env_id"],
        "labels": config["data"],
        "images": " ".join(f"{name}={count}" for name, count in sizes.items()),
        "seed": config["seed"],
        "epochs": result["epochs"],
        "best_epoch": result["best_epoch"],
        "updates": result["updates"],
        "minutes": round(result["wall_seconds"] / 60, 2),
        "parameters": result["parameters"],
        "latency_ms": None if result.get("latency_ms") is None else round(result["latency_ms"], 2),
        "goal": result["goal"],
        "test": metrics_to_text(result["test"]),
        "val": metrics_to_text(result["val"]),
        "peak_memory_mb": result.get("peak_memory_mb") and round(result["peak_memory_mb"]),
        "threads": (settings.get("device") or {}).get("threads"),
    } | provenance_of_run(config)


def section(file: Path) -> str:
    """Format a CSV of vision models: a Markdown table per dataset and task, best first by each goal.

    Raises:
        ResultsError: it is a record of something else.
    """
    if not file.exists():
        return 'Not recorded yet: `python -m agents.results --record vision --what "the claim" runs/RUN`.\n'
    columns, rows = read_csv(file)
    if tuple(columns) != COLUMNS:
        raise ResultsError(f"{file} does not record vision models")
    return "\n".join(_table(group) for group in groups(rows, "data", "labels", "task"))


def _table(rows: Sequence[Row]) -> str:
    """Format the rows of a task on the same images."""
    first = rows[0]
    metrics = {row["run"]: metrics_from_text(row["test"]) for row in rows}
    shown = _shown(first["task"], [name for values in metrics.values() for name in values])
    ranked = sorted(rows, key=lambda row: (row["goal"], -metrics[row["run"]].get(row["goal"], 0.0)))
    varying = [name for name in ("what", "seed", "hardware", "threads") if len({row[name] for row in rows}) > 1]
    lines = []
    for row in ranked:
        values = metrics[row["run"]]
        line = [row["model"], *(f"{values[name]:.3f}" if name in values else "-" for name in shown)]
        line += [row["latency_ms"] or "-", f"{int(row['parameters']):,}", row["minutes"], row["epochs"]]
        lines.append([*line, *(row[name] for name in varying)])
    head = ["model", *shown, "ms/frame, 1 thread", "parameters", "minutes", "epochs", *varying]
    images = f", {first['images']}" if first["images"] else ""
    title = f"`{first['task']}` on `{first['data']}` (labels `{first['labels']}`{images}), test split"
    texts = {"what": "{}", "seed": "seed {}", "hardware": "{}", "threads": "threads: {}"}
    common = [text.format(first[name]) for name, text in texts.items() if name not in varying and first[name]]
    return f"{title}; {', '.join(common)}:\n\n{markdown(head, lines)}"


def _shown(task: str, names: Sequence[str]) -> list[str]:
    """Return the metrics that are columns of a table, without repetition, of those that some run has."""
    measured = [name for name in dict.fromkeys(names) if name not in TIMES]
    if task not in SHOWN:
        return [name for name in measured if "/" not in name]
    shown: list[str] = []
    for choice in SHOWN[task]:
        shown += [name for name in measured if name == choice or (choice.endswith("/") and name.startswith(choice))]
    return shown
