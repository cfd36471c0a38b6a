"""Recorded vision models: one row per run of `rl_gen_lab.train`, and the README's tables of them."""

from collections.abc import Sequence
from pathlib import Path

from agents.reports.curves import RunDataError
from agents.reports.tables import ResultsError, Row, groups, markdown, portable, read_csv
from rl_gen_lab.runs.folder import RunFolder
from rl_gen_lab.runs.provenance import describe_hardware

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
# Figures of the test split that a table shows, in this order; one that ends with / stands for each category's.
SHOWN = {
    "classify": ("balanced_accuracy", "balanced_accuracy/", "accuracy"),
    "localize": ("f1", "mean_iou", "ap", "ap50", "balanced_accuracy"),
    "detect": ("f1", "f1/", "ap", "ap50", "mask_ap", "mask_ap50", "proposal_recall"),
    "segment": ("miou", "iou/", "accuracy"),
}
TIMES = ("ms_per_image",)  # figures of a split that say nothing about quality


def row_of(run: RunFolder, what: str) -> Row:
    """One run as a row of text; what is unknown is empty.

    Raises:
        RunDataError: the run is not finished, so that its test split was not measured.
    """
    config = run.read_config()
    result = run.read_result() if run.result_file.is_file() else {}
    if result.get("status") != "finished" or not result.get("test"):
        status = result.get("status", "no result")
        raise RunDataError(f"{run.path}: only finished runs with a measured test split are recorded (is: {status})")
    settings = config["config"]
    values = {
        "what": what,
        "task": settings["task"],
        "model": settings[settings["task"]]["model"],
        "data": config["env_id"],
        "labels": config["data"],
        "images": " ".join(f"{name}={count}" for name, count in (config.get("images") or {}).items()),
        "seed": config["seed"],
        "epochs": result["epochs"],
        "best_epoch": result["best_epoch"],
        "updates": result["updates"],
        "minutes": round(result["wall_seconds"] / 60, 2),
        "parameters": result["parameters"],
        "latency_ms": None if result.get("latency_ms") is None else round(result["latency_ms"], 2),
        "goal": result["goal"],
        "test": _text(result["test"]),
        "val": _text(result["val"]),
        "peak_memory_mb": result.get("peak_memory_mb") and round(result["peak_memory_mb"]),
        "hardware": describe_hardware(config.get("hardware") or {}),
        "threads": (settings.get("device") or {}).get("threads"),
        "versions": " ".join(f"{name}={version}" for name, version in (config.get("versions") or {}).items()),
        "commit": config.get("commit"),
        "date": str(config.get("started") or "")[:10],
        "command": portable(config.get("command") or []),
        "run": run.path.resolve().name,
    }
    return {name: "" if values[name] is None else str(values[name]) for name in COLUMNS}


def section(file: Path) -> str:
    """The Markdown of a CSV of vision models: a table per folder of images and task, best first.

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
    """Rows of one task on the same images."""
    first = rows[0]
    figures = {row["run"]: _figures(row["test"]) for row in rows}
    shown = _shown(first["task"], [name for figure in figures.values() for name in figure])
    ranked = sorted(rows, key=lambda row: -figures[row["run"]].get(row["goal"], 0.0))
    apart = [name for name in ("what", "seed", "hardware", "threads") if len({row[name] for row in rows}) > 1]
    lines = []
    for row in ranked:
        mine = figures[row["run"]]
        line = [row["model"], *(f"{mine[name]:.3f}" if name in mine else "-" for name in shown)]
        line += [row["latency_ms"] or "-", f"{int(row['parameters']):,}", row["minutes"], row["epochs"]]
        lines.append([*line, *(row[name] for name in apart)])
    head = ["model", *shown, "ms/frame, 1 thread", "parameters", "minutes", "epochs", *apart]
    images = f", {first['images']}" if first["images"] else ""
    title = f"`{first['task']}` on `{first['data']}` (labels `{first['labels']}`{images}), test split"
    alike = {"what": "{}", "seed": "seed {}", "hardware": "{}", "threads": "threads: {}"}
    said = [text.format(first[name]) for name, text in alike.items() if name not in apart and first[name]]
    return f"{title}; {', '.join(said)}:\n\n{markdown(head, lines)}"


def _shown(task: str, names: Sequence[str]) -> list[str]:
    """The figures of a table's columns, each once, among those that some run has."""
    known = [name for name in dict.fromkeys(names) if name not in TIMES]
    wanted = SHOWN.get(task)
    if wanted is None:
        return [name for name in known if "/" not in name]
    found: list[str] = []
    for one in wanted:
        found += [name for name in known if name == one or (one.endswith("/") and name.startswith(one))]
    return found


def _text(figures: dict[str, float]) -> str:
    """`{"f1": 0.5, "ap": 1.0}` -> "f1=0.5 ap=1"."""
    return " ".join(f"{name.replace(' ', '_')}={value:.6g}" for name, value in figures.items())


def _figures(text: str) -> dict[str, float]:
    """Undo `_text`."""
    pairs = (part.rpartition("=") for part in text.split())
    return {name: float(value) for name, _, value in pairs}
