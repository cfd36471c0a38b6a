"""Recorded compressions: a row for each stage, what `agents.compress` and `rl_gen_lab.compress` measured."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from agents.reports.format import markdown
from agents.reports.provenance import provenance_of_run
from agents.reports.run_record import RunDataError
from agents.reports.store import ResultsError, Row, read_csv
from rl_gen_lab.cli.errors import CheckpointError
from rl_gen_lab.cli.regular_file import open_regular
from rl_gen_lab.runs.folder import RunFolder

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MEASURED = (
    *(
        "stage",
        "kind",
        "settings",
        "bytes",
        "ratio",
        "ratio_all_networks",
        "metric",
        "score",
        "score_error",
        "score_low",
    ),
    *("episodes", "images", "eval_seed", "order0_bytes", "huffman_bytes", "deep_compression_bytes", "xz_bytes"),
    *("numbers", "nonzero", "minutes"),
)
COLUMNS = ("what", "env_id", "seed", "source", *MEASURED, "hardware", "versions", "commit", "date", "command", "run")
QR_CODE_BYTES = 2_953  # of the largest QR code, in binary mode


def rows_of(run: RunFolder, what: str) -> list[Row]:
    """Return the ledger of a compression as rows of text. Raises: RunDataError where there is none."""
    config = run.read_config()
    try:
        ledger: list[dict[str, Any]] = run.read_result()["ledger"]
        source = Path(str(config["config"]["run"])).name
        about = {"what": what, "env_id": str(config["env_id"]), "seed": str(config["seed"]), "source": source}
        rows = []
        for stage in ledger:
            values = about | {name: stage.get(name, "") for name in MEASURED}
            values |= {"run": f"{run.path.resolve().name}/stage{stage['stage']}"} | provenance_of_run(config)
            rows.append({name: str(values[name]) for name in COLUMNS})
    except (CheckpointError, KeyError, TypeError, AttributeError) as error:
        raise RunDataError(f"{run.path} holds no finished compression: python -m agents.compress writes one") from error
    return rows


def read(file: Path) -> list[Row]:
    """Return the rows of a CSV. Raises: ResultsError: it is a record of something else."""
    columns, rows = read_csv(file)
    if tuple(columns) != COLUMNS:
        raise ResultsError(f"{file} does not record compressions")
    return rows


def section(file: Path, folder: Path) -> str:
    """Format the ledgers: the figure, and a table for each compression. folder: of the document."""
    if not file.exists():
        return 'Not recorded yet: `python -m agents.results --record compression --what "the claim" runs/RUN`.\n'
    rows = read(file)
    names = list(dict.fromkeys(_compression(row) for row in rows))
    tables = [_table([row for row in rows if _compression(row) == name]) for name in names]
    picture = Path("..") / file.parent.name / figure_of(file).name if folder.name == "docs" else figure_of(file)
    return f"![Score against bytes]({picture.as_posix()})\n\n" + "\n".join(tables)


def smallest(file: Path) -> str:
    """Describe in a sentence the smallest packed policy whose mean score is within a point of its agent's."""
    if not file.exists():
        return "Not recorded yet.\n"
    rows = read(file)
    agents = {_compression(row): row for row in rows if row["stage"] == "0"}
    stages = [row for row in rows if row["stage"] != "0"]
    level = [row for row in stages if float(row["score"]) >= float(agents[_compression(row)]["score"]) - 1]
    if not level:
        return "None of our packed policies is within a point of the agent that it was made from yet.\n"
    least = min(level, key=lambda row: int(row["bytes"]))
    first = agents[_compression(least)]
    game = least["env_id"].rpartition("/")[2].partition("-")[0]
    return (
        f"The smallest packed {game} policy within a point of its agent has {int(least['bytes']):,} bytes and scores"
        f" {_with_error(least)} over {least['episodes']} games (standard error), {float(least['ratio']):.0f} times"
        f" smaller than one network of the agent, which scores {_with_error(first)}.\n"
    )


def _with_error(row: Row) -> str:
    return f"{float(row['score']):.2f} ± {float(row['score_error'] or 0):.2f}"


def _compression(row: Row) -> str:
    return row["run"].rpartition("/")[0]


HEAD = ("stage", "what", "bytes", "smaller", "score", "at least", "order-0", "Huffman", "relative indices", "xz")


def _table(rows: list[Row]) -> str:
    what, origin = title_of(rows)
    return f"**{what}**: {origin}\n\n{markdown(HEAD, cells(rows))}"


def title_of(rows: list[Row]) -> tuple[str, str]:
    """Return what the rows of a compression are of, and how they were measured."""
    first = rows[0]
    games = f"{first['episodes']} games" if first["episodes"] else f"{first['images']} test images"
    origin = f"{first['source']}, {games} a stage, {first['hardware']}, commit {first['commit'][:7]}"
    return first["what"], origin


def cells(rows: list[Row]) -> list[list[str]]:
    """Return the lines of a table with the columns of `HEAD`."""
    lines = []
    for row in rows:
        score = row["score"] + (f" ± {row['score_error']}" if row["score_error"] else "")
        ratios = f"{float(row['ratio']):,.0f}" if float(row["ratio"]) >= 2 else f"{float(row['ratio']):.2g}"
        coders = [_kilo(row[f"{name}_bytes"]) for name in ("order0", "huffman", "deep_compression", "xz")]
        name = f"{row['kind']} {row['settings']}".strip()
        lines.append([row["stage"], name, f"{int(row['bytes']):,}", ratios, score, row["score_low"], *coders])
    return lines


def _kilo(text: str) -> str:
    return f"{float(text):,.0f}" if text else ""


def figure_of(file: Path) -> Path:
    """Return where the figure of a CSV stands."""
    return file.with_suffix(".png")


def is_current(file: Path) -> bool:
    """Return whether the figure beside a CSV shows these rows."""
    try:
        with open_regular(figure_of(file)) as opened, Image.open(opened) as image:
            return image.info.get("Description") == _hash_of(file)
    except (OSError, ValueError, SyntaxError):  # missing or damaged
        return False


def _hash_of(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def write_figure(file: Path) -> Path:
    """Draw the figure of a CSV beside it, and return it."""
    path = figure_of(file)
    draw(read(file)).savefig(path, metadata={"Software": None, "Description": _hash_of(file)})
    return path


def draw(rows: list[Row]) -> Figure:
    """Draw score against bytes on a logarithmic axis, with 95 % intervals, and the best of each size."""
    from matplotlib.figure import Figure  # here, so that --help needs no matplotlib

    figure = Figure(figsize=(8.5, 4.8), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    for number, name in enumerate(dict.fromkeys(_compression(row) for row in rows)):
        own = [row for row in rows if _compression(row) == name]
        sizes, scores = ([float(row[key]) for row in own] for key in ("bytes", "score"))
        errors = [1.96 * float(row["score_error"] or 0) for row in own]
        label = f"{own[0]['what']}, seed {own[0]['seed']}"
        axes.errorbar(sizes, scores, errors, fmt="o", capsize=3, color=f"C{number}", label=label)
        for row, size, score in zip(own, sizes, scores, strict=True):
            axes.annotate(row["kind"], (size, score), xytext=(5, 5), textcoords="offset points", fontsize=7)
    front = pareto_front([(float(row["bytes"]), float(row["score"])) for row in rows])
    axes.step(*zip(*front, strict=True), where="post", color="gray", linewidth=1, label="best of each size")
    if min(float(row["bytes"]) for row in rows) < 10 * QR_CODE_BYTES:
        axes.axvline(QR_CODE_BYTES, color="gray", linestyle=":", linewidth=1, label="the largest QR code")
    axes.set_xscale("log")
    axes.set_xlabel("bytes of the file")
    axes.set_ylabel(f"{rows[0]['metric'] or 'score'}, 95 % interval" if rows[0]["score_error"] else rows[0]["metric"])
    axes.legend(fontsize=7)
    axes.grid(alpha=0.3)
    return figure


def pareto_front(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the (bytes, score) that no other point beats in both, by size."""
    front: list[tuple[float, float]] = []
    for size, score in sorted(points, key=lambda point: (point[0], -point[1])):
        if not front or score > front[-1][1]:
            front.append((size, score))
    return front
