"""Recorded audits of dreams: what `rl_gen_lab.audit` measured, and its table."""

from pathlib import Path
from typing import Any

from agents.reports.format import markdown, metrics_from_text, metrics_to_text
from agents.reports.provenance import provenance_of_run
from agents.reports.run_record import RunDataError
from agents.reports.store import ResultsError, Row, read_csv
from rl_gen_lab.cli.errors import CheckpointError
from rl_gen_lab.runs.folder import RunFolder
from rl_gen_lab.runs.reading import read_json

FILE = "audit.json"
COLUMNS = (
    *("what", "model", "data", "split", "dreams", "usable_horizon", "rewards", "ends", "minutes", "updates"),
    *("dream", "last frame repeated", "constant velocity", "untrained memory", "shuffled actions"),
    *("hardware", "versions", "commit", "date", "command", "run"),
)
SOURCES = COLUMNS[10:15]
HORIZONS = ("1", "5", "10", "15", "30", "60")  # of the table


def row_of(run: RunFolder, what: str) -> Row:
    """Return an audit as a row of text. Raises: RunDataError where there is none, or it is damaged."""
    config = run.read_config()
    try:
        audit: dict[str, Any] = read_json(run.path / FILE)
        values: dict[str, Any] = {name: audit[name] for name in ("split", "dreams", "usable_horizon")}
        for source in SOURCES:
            flat: dict[str, float] = {}
            for horizon, objects in audit["objects"][source].items():
                for name, summary in objects.items():
                    flat |= {f"{name}/{horizon}/{key}": value for key, value in summary.items()}
                for key in ("writing_right", "wrong_pixels"):
                    if source in audit[key]:
                        flat[f"{key}/{horizon}"] = audit[key][source][horizon]
            values[source] = metrics_to_text(flat)
        values |= {name: metrics_to_text(audit[name]) for name in ("rewards", "ends")}
        result = run.read_result()
        values |= {"what": what, "model": config["config"]["dream"]["model"], "data": Path(audit["data"]).name}
        values |= {"minutes": f"{result['wall_seconds'] / 60:.1f}", "updates": result["updates"]}
    except (CheckpointError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise RunDataError(f"{run.path} has no audit ({FILE}): python -m rl_gen_lab.audit {run.path}") from error
    values |= {"run": run.path.resolve().name} | provenance_of_run(config)
    return {name: str(values[name]) for name in COLUMNS}


def section(file: Path) -> str:
    """Format a CSV of audits: a table for each, with a line for each horizon and control.

    Raises:
        ResultsError: it is a record of something else.
    """
    if not file.exists():
        return 'Not recorded yet: `python -m agents.results --record audits --what "the claim" runs/RUN`.\n'
    columns, rows = read_csv(file)
    if tuple(columns) != COLUMNS:
        raise ResultsError(f"{file} does not record audits of dreams")
    return "\n".join(_table(row) for row in rows)


def _table(row: Row) -> str:
    """Format an audit."""
    sources = {source: metrics_from_text(row[source]) for source in SOURCES}
    names = list(dict.fromkeys(key.split("/")[0] for key in sources["dream"] if key.count("/") > 1))
    lines = []
    for source, values in sources.items():
        for horizon in HORIZONS:
            if f"wrong_pixels/{horizon}" not in sources["dream"]:
                continue
            line = [source, horizon]
            for name in names:
                prefix = f"{name}/{horizon}"
                pixels, gone = values.get(f"{prefix}/median_px"), values.get(f"{prefix}/vanished")
                doubled = values.get(f"{prefix}/doubled", 0.0)
                line.append("-" if pixels is None or gone is None else f"{pixels:.1f} px, {gone + doubled:.0%}")
            writing = values.get(f"writing_right/{horizon}")
            wrong = values.get(f"wrong_pixels/{horizon}")
            lines.append(
                [*line, *("-" if x is None else f"{x:.2f}" if y else f"{x:.0f}" for x, y in ((writing, 1), (wrong, 0)))]
            )
    told = " · ".join(_told(name, metrics_from_text(row[name])) for name in ("rewards", "ends"))
    title = (
        f"**{row['what']}** ({row['model']}, {row['minutes']} minutes, {int(row['updates']):,} updates),"
        f" {row['dreams']} dreams from `{row['data']}`, {row['split']} split;"
        f" usable horizon {row['usable_horizon']} steps; {told}:"
    )
    head = [
        "frames of",
        "step",
        *(f"{name}: median error, lost or doubled" for name in names),
        "score right",
        "wrong pixels",
    ]
    return f"{title}\n\n{markdown(head, lines)}"


def _told(name: str, values: dict[str, float]) -> str:
    """Say how many rewards or ends were told."""
    if not values.get("events"):
        return f"no {name} there"
    share = f"{values['told']:.0%} of {values['events']:.0f} {name} told within 2 steps"
    return f"{share}, {values['false_per_1000']:.1f} false ones in 1,000 steps"
