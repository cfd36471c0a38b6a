"""Recorded files of generators: what `rl_gen_lab.codec compare` measured, and its table."""

from pathlib import Path
from typing import Any

from agents.reports.format import markdown
from agents.reports.provenance import provenance_of_run
from agents.reports.run_record import RunDataError
from agents.reports.store import ResultsError, Row, read_csv
from rl_gen_lab.cli.errors import CheckpointError
from rl_gen_lab.runs.folder import RunFolder
from rl_gen_lab.runs.reading import read_json

FILE = "codec.json"
CODERS = ("PNG", "WebP", "JPEG XL", "xz", "FFV1", "x264")
SEQUENCES = ("xz", "FFV1", "x264")  # read all images as one sequence
COLUMNS = (
    *("what", "model", "data", "split", "images", "file_bytes", "bits_per_image", "bound_bits_per_image"),
    *CODERS,
    *("hardware", "versions", "commit", "date", "command", "run"),
)


def row_of(run: RunFolder, what: str) -> Row:
    """Return what was measured of a run's file as a row of text: bits an image of every coder.

    Raises:
        RunDataError: nothing was measured, or the file is damaged.
    """
    config = run.read_config()
    try:
        sizes: dict[str, Any] = read_json(run.path / FILE)
        count = max(int(sizes["images"]), 1)
        coders = {name: sizes["coders"].get(name) for name in CODERS}
        values: dict[str, Any] = {name: f"{8 * size / count:.1f}" if size else "" for name, size in coders.items()}
        values |= {name: sizes[name] for name in ("split", "images", "file_bytes")}
        values |= {name: f"{sizes[name]:.2f}" for name in ("bits_per_image", "bound_bits_per_image")}
        values |= {"what": what, "model": _model_of(config["config"]), "data": config["env_id"]}
    except (CheckpointError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise RunDataError(
            f"{run.path} has no measured file ({FILE}): python -m rl_gen_lab.codec compare {run.path}"
        ) from error
    values |= {"run": run.path.resolve().name} | provenance_of_run(config)
    return {name: str(values[name]) for name in COLUMNS}


def _model_of(settings: dict[str, Any]) -> str:
    """Name what codes: a generator, or a model of a world."""
    if settings["task"] == "dream":
        return f"dream of {settings['dream']['model']}"
    return str(settings["generate"]["model"])


def section(file: Path) -> str:
    """Format a CSV of files: a line for each generator, then one for each other coder, fewest bits first.

    Raises:
        ResultsError: it is a record of something else.
    """
    if not file.exists():
        return 'Not recorded yet: `python -m agents.results --record generator_files --what "the claim" runs/RUN`.\n'
    columns, rows = read_csv(file)
    if tuple(columns) != COLUMNS:
        raise ResultsError(f"{file} does not record files of generators")
    lines: list[tuple[float, list[str]]] = []
    for row in rows:
        ratio = float(row["bits_per_image"]) / float(row["bound_bits_per_image"])
        name = f"**{row['model']}**, {row['what']}"
        lines.append((float(row["bits_per_image"]), [row["data"], name, row["bits_per_image"], f"{ratio:.3f}"]))
    for data in dict.fromkeys(row["data"] for row in rows):
        first = next(row for row in rows if row["data"] == data)
        for name in CODERS:
            if first[name]:
                kind = f"{name}, all images as a sequence" if name in SEQUENCES else name
                lines.append((float(first[name]), [data, kind, first[name], "-"]))
    ranked = [line for _, line in sorted(lines, key=lambda item: (item[1][0], item[0]))]
    return markdown(["images", "coder", "bits an image", "file / bound"], ranked)
