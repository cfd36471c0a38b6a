"""Recorded textures, styles, pictures that networks are searched for or fooled by: a row for each method."""

from pathlib import Path

from agents.reports.format import markdown, metrics_from_text, metrics_to_text
from agents.reports.provenance import provenance_of_run
from agents.reports.run_record import RunDataError
from agents.reports.store import ResultsError, Row, read_csv
from rl_gen_lab.cli.errors import CheckpointError
from rl_gen_lab.runs.folder import RunFolder

LEDGERS = ("textures", "styles", "visualizations", "fooling")
PROVENANCE = ("hardware", "versions", "commit", "date", "command")
COLUMNS = ("what", "subject", "method", "measures", *PROVENANCE, "run")


def rows_of(run: RunFolder, what: str) -> list[Row]:
    """Return the rows of `texture`, `style`, `visualize`, `attack`. Raises: RunDataError: it is none, or not ended."""
    try:
        config, result = run.read_config(), run.read_result()
        found = [
            {"subject": str(row["subject"]), "method": str(row["method"]), "measures": metrics_to_text(row["measures"])}
            for row in result["rows"]
        ]
    except (CheckpointError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise RunDataError(f"{run.path} holds no measured pictures: {error}") from error
    about = provenance_of_run(config)
    name = run.path.resolve().name
    rows = [
        {"what": what}
        | row
        | {key: about[key] for key in PROVENANCE}
        | {"run": f"{name}/{row['subject']}/{row['method']}"}
        for row in found
    ]
    if not rows:
        raise RunDataError(f"{run.path} holds no measured pictures")
    return rows


def section(file: Path) -> str:
    """Format a CSV of pictures: a table for each claim, with a line for each method and control.

    Raises:
        ResultsError: it is a record of something else.
    """
    if not file.exists():
        return f'Not recorded yet: `python -m agents.results --record {file.stem} --what "the claim" runs/RUN`.\n'
    columns, rows = read_csv(file)
    if tuple(columns) != COLUMNS:
        raise ResultsError(f"{file} does not record pictures")
    claims = dict.fromkeys(row["what"] for row in rows)
    return "\n".join(_table([row for row in rows if row["what"] == what]) for what in claims)


def _table(rows: list[Row]) -> str:
    first = rows[0]
    measures = [metrics_from_text(row["measures"]) for row in rows]
    names = list(dict.fromkeys(name for of in measures for name in of))
    lines = [
        [row["subject"], row["method"], *(_cell(of.get(name)) for name in names)]
        for row, of in zip(rows, measures, strict=True)
    ]
    head = ["picture", "method", *(name.replace("_", " ") for name in names)]
    return f"**{first['what']}**; {first['hardware']}, commit {first['commit'][:7]}\n\n{markdown(head, lines)}"


def _cell(value: float | None) -> str:
    """Format a measure: "0.0123", "12.3"."""
    if value is None:
        return "-"
    return f"{value:.4f}" if abs(value) < 1 else f"{value:.1f}"
