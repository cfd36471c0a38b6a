"""Recorded explanations of one agent in several stages: a row for each stage and map; their table and page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from agents.reports.explain import COLUMNS as OF_ONE
from agents.reports.explain import NOTE, PAGE, cells
from agents.reports.format import markdown, metrics_from_text, metrics_to_text
from agents.reports.provenance import provenance_of_run
from agents.reports.run_record import RunDataError
from agents.reports.store import ResultsError, Row, read_csv
from rl_gen_lab.cli.errors import CheckpointError
from rl_gen_lab.explain import page
from rl_gen_lab.runs.folder import RunFolder

STAGE = ("stage", "source")
COLUMNS = (*OF_ONE[:3], *STAGE, *OF_ONE[3:])
KEPT = 6  # columns of the table of one agent: names, lifts, pointing, rank correlation
HEAD = (
    *("stage", "method", "lift", "lift of a frame difference, of noise; share of the frame", "over the untrained twin"),
    *("points within 2 px", "effect and mass: rank correlation", "same action", "score"),
)


def rows_of(run: RunFolder, what: str) -> list[Row]:
    """Return the scores of all stages as rows of text. Raises: RunDataError where there are none."""
    config = run.read_config()
    try:
        result: dict[str, Any] = run.read_result()
        about = {"what": what, "env_id": str(config["env_id"])}
        about |= {key: str(result[key]) for key in ("agent", "target", "frames", "episodes")}
        about |= {"objects": " ".join(result["objects"])} | provenance_of_run(config)
        found = []
        for scores in result["rows"]:
            words = {key: str(scores[key]) for key in (*STAGE, "method")}
            numbers = {key: float(value) for key, value in scores.items() if key not in words and value is not None}
            row = about | words | {"measures": metrics_to_text(numbers)}
            places = (run.path.resolve().name, words["source"], words["stage"], words["method"])
            row["run"] = "/".join(place.replace(" ", "_") for place in places)
            found.append({name: str(row[name]) for name in COLUMNS})
    except (CheckpointError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise RunDataError(f"{run.path} holds no scores of stages: python -m agents.explain --stages does") from error
    return found


def section(file: Path) -> str:
    """Format a CSV of stages: a table for each claim. Raises: ResultsError: it is a record of something else."""
    if not file.exists():
        return f'Not recorded yet: `python -m agents.results --record {file.stem} --what "the claim" runs/RUN`.\n'
    columns, rows = read_csv(file)
    if tuple(columns) != COLUMNS:
        raise ResultsError(f"{file} does not record explanations of stages")
    claims = dict.fromkeys(row["what"] for row in rows)
    return "\n".join(_table([row for row in rows if row["what"] == what]) for what in claims)


def _table(rows: list[Row]) -> str:
    first = rows[0]
    return (
        f"**{first['what']}**: frames of {first['agent']}, {first['target']}, {first['frames']} frames of"
        f" {first['episodes']} games, {first['hardware']}, commit {first['commit'][:7]}\n\n"
        + markdown(HEAD, lines(rows))
    )


def lines(rows: list[Row]) -> list[list[str]]:
    """Return a line for each stage and method, with its controls in the same line."""
    found = []
    for stage in dict.fromkeys((row["source"], row["stage"]) for row in rows):
        own = [row for row in rows if (row["source"], row["stage"]) == stage]
        for row, line in zip(own, cells(own), strict=True):
            of = metrics_from_text(row["measures"])
            if any(name.endswith("/over_twin") for name in of):  # a method; maps without a network have no twin
                score = f"{of['score']:.1f} ({of['score_games']:.0f} games)" if "score" in of else "-"
                found.append([row["stage"], *line[:KEPT], f"{of['same_action']:.0%}", score])
    return found


def write_page(run: RunFolder) -> Path:
    """Write the page of the stages into the run's folder and return it. Raises: RunDataError, SaveError."""
    about, file = f"Stages asked about the same frames, of {run.read_result()['agent']}", run.path / "pictures"
    parts = [page.picture(file / "stages.png", about), page.table(HEAD, lines(rows_of(run, ""))), page.paragraph(NOTE)]
    return page.write(run.path / PAGE, about, parts)
