"""Recorded explanations: a row for each method and control, what `agents.explain` measured; their table and page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from agents.reports.format import markdown, metrics_from_text, metrics_to_text
from agents.reports.provenance import provenance_of_run
from agents.reports.run_record import RunDataError
from agents.reports.store import ResultsError, Row, read_csv
from rl_gen_lab.cli.errors import CheckpointError
from rl_gen_lab.explain import page
from rl_gen_lab.runs.folder import RunFolder

PAGE = "explain.html"
COLUMNS = (
    *("what", "env_id", "agent", "target", "method", "frames", "episodes", "objects", "measures"),
    *("hardware", "versions", "commit", "date", "command", "run"),
)
OF_GAMES = "games: "
CONTROLS = ("frame difference", "random")  # maps without a network, whose lifts stand in the line of each map
HEAD = (
    *(
        "method",
        "lift",
        "lift of a frame difference, of noise; share of the frame",
        "over the untrained twin",
        "points within 2 px",
        "effect and mass: rank correlation",
    ),
    *("deletion, insertion (mean frame)", "after the output layer is random", "another action", "ms"),
)
GAMES_HEAD = ("games", "as it is", "mean frame: deleted", "kept", "blurred: deleted", "kept")
NOTE = (
    "lift: share of the map on the object over its share of the frame, 1 is noise; over the untrained twin: multiples"
    " of the lift of the same network with random weights; effect: change of the number when the object is moved in the"
    " emulator; intervals are 95 % bootstraps by game"
)


def rows_of(run: RunFolder, what: str) -> list[Row]:
    """Return the scores of an explanation as rows of text. Raises: RunDataError where there are none."""
    config = run.read_config()
    try:
        result: dict[str, Any] = run.read_result()
        about = {"what": what, "env_id": str(config["env_id"])}
        about |= {key: str(result[key]) for key in ("agent", "target", "frames", "episodes")}
        about |= {"objects": " ".join(result["objects"])} | provenance_of_run(config)
        found = []
        for scores in result["rows"]:
            numbers = {key: float(value) for key, value in scores.items() if key != "method" and value is not None}
            row = about | {"method": scores["method"], "measures": metrics_to_text(numbers)}
            row["run"] = f"{run.path.resolve().name}/{scores['method'].replace(' ', '_')}"
            found.append({name: str(row[name]) for name in COLUMNS})
    except (CheckpointError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise RunDataError(f"{run.path} holds no scores: python -m agents.explain writes them") from error
    return found


def section(file: Path) -> str:
    """Format a CSV of explanations: tables for each. Raises: ResultsError: it is a record of something else."""
    if not file.exists():
        return 'Not recorded yet: `python -m agents.results --record explain --what "the claim" runs/RUN`.\n'
    columns, rows = read_csv(file)
    if tuple(columns) != COLUMNS:
        raise ResultsError(f"{file} does not record explanations")
    runs = dict.fromkeys(_run(row) for row in rows)
    return "\n".join(_tables([row for row in rows if _run(row) == name]) for name in runs)


def _run(row: Row) -> str:
    return row["run"].rpartition("/")[0]


def _tables(rows: list[Row]) -> str:
    first = rows[0]
    text = (
        f"**{first['what']}**: {first['agent']}, {first['target']}, {first['frames']} frames of {first['episodes']}"
        f" games, {first['hardware']}, commit {first['commit'][:7]}\n\n{markdown(HEAD, cells(rows))}"
    )
    games = games_of(rows)
    return text + (f"\n{markdown(GAMES_HEAD, games)}" if games else "")


def lines(run: RunFolder) -> list[list[str]]:
    """Return the lines of the table of a run; [] where nothing was scored."""
    return cells(rows_of(run, "")) if run.read_result()["rows"] else []


def cells(rows: list[Row]) -> list[list[str]]:
    """Return a line for each map, with its controls in the same line."""
    controls = {row["method"]: metrics_from_text(row["measures"]) for row in rows if row["method"] in CONTROLS}
    return [_line(row, controls) for row in rows if not row["method"].startswith(OF_GAMES)]


def _controls(objects: list[str], controls: dict[str, dict[str, float]]) -> str:
    """Return for each object the lifts of the maps without a network, and its share of the frame."""
    moving, noise = (controls.get(name, {}) for name in CONTROLS)
    known = [name for name in objects if f"{name}/lift" in moving and f"{name}/lift" in noise]
    lifts = (f"{name} {moving[f'{name}/lift']:.1f}, {noise[f'{name}/lift']:.1f}" for name in known)
    shares = (f"{moving.get(f'{name}/area', 0.0):.2%}" for name in known)
    return " · ".join(f"{lift}; {share}" for lift, share in zip(lifts, shares, strict=True)) or "-"


def _line(row: Row, controls: dict[str, dict[str, float]]) -> list[str]:
    of, objects = metrics_from_text(row["measures"]), row["objects"].split()

    def each(form: str, key: str) -> str:
        known = [name for name in objects if f"{name}/{key}" in of]
        return ", ".join(f"{name} {of[f'{name}/{key}']:{form}}" for name in known) or "-"

    first = objects[0] if objects else ""
    over = each(".1f", "over_twin")
    if f"{first}/over_twin_low" in of:
        over += f" ({first}: {of[f'{first}/over_twin_low']:.1f} to {of[f'{first}/over_twin_high']:.1f})"
    return [
        row["method"],
        each(".1f", "lift"),
        _controls(objects, controls),
        over,
        each(".2f", "near"),
        f"{_number(of, 'rank_correlation')} [{_number(of, 'rank_correlation_low')},"
        f" {_number(of, 'rank_correlation_high')}]",
        f"{_number(of, 'deletion_mean')}, {_number(of, 'insertion_mean')}",
        _number(of, "output_random"),
        _number(of, "other_action"),
        _number(of, "ms", ".1f"),
    ]


def games_of(rows: list[Row]) -> list[list[str]]:
    """Return lines of whole games: of each map by which pixels were deleted or kept, and of each hypothesis."""
    found = []
    for row in rows:
        of = metrics_from_text(row["measures"])
        if row["method"].startswith(OF_GAMES):
            score = f"{of['score']:.1f}"
            if "change" in of:
                told = "falls" if of["predicted_fall"] else "holds"
                score += f" (change {of['change']:.1f} [{of['low']:.1f}, {of['high']:.1f}]; predicted: {told})"
            found.append([row["method"].removeprefix(OF_GAMES), score, "", "", "", ""])
        elif "score_deleted_mean" in of:
            keys = [f"score_{key}_{fill}" for fill in ("mean", "blur") for key in ("deleted", "kept")]
            found.append([row["method"], "", *(_number(of, key, ".1f") for key in keys)])
    return found


def _number(of: dict[str, float], key: str, form: str = ".2f") -> str:
    return f"{of[key]:{form}}" if key in of else "-"


def printed(table: list[list[str]]) -> str:
    """Return the lines as they are printed."""
    return "\n".join(f"{line[0]:22} {' | '.join(line[1:])}" for line in table)


def write_page(run: RunFolder) -> Path:
    """Write the page of an explanation into its folder and return it. Raises: RunDataError, SaveError."""
    result, pictures = run.read_result(), run.path / "pictures"
    title = f"What {result['agent']} looks at ({result['target']})"
    parts: list[str] = []
    video = run.videos / "explained.mp4"
    if video.is_file():
        parts += [page.heading("At play: the game, and the map over it"), page.film(video)]
    for name, words in PICTURES.items():
        if (pictures / f"{name}.png").is_file():
            parts += [page.heading(words), page.picture(pictures / f"{name}.png", words)]
    if result["rows"]:
        rows = rows_of(run, "")
        parts += [page.heading("Scores, and their controls"), page.table(HEAD, cells(rows)), page.paragraph(NOTE)]
        if games := games_of(rows):
            parts += [page.heading("Whole games"), page.table(GAMES_HEAD, games)]
    return page.write(run.path / PAGE, title, parts)


PICTURES = {
    "strip": "Frames chosen by a rule: the two most important, two evenly spaced; the map and its controls",
    "stack": "The frames of one observation, each under its own part of the map",
    "filters": "Filters of the first layer, a column for each frame of the stack",
}
