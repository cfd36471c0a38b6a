"""Recorded attacks: a row for each attack and budget, what `agents.attack` measured; their table and page."""

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

PAGE = "attack.html"
COLUMNS = (
    *("what", "env_id", "agent", "attack", "levels", "pixels", "when", "steps", "games", "frames", "measures"),
    *("hardware", "versions", "commit", "date", "command", "run"),
)
CLEAN, CONTROL, WORST = "none", "random", "worst of all"
HEAD = (
    *("attack", "gray levels", "score", "95 % interval", "steps attacked", "actions changed in games"),
    *("actions changed on frames", "cost", "certified", "ms"),
)
PICTURES = {"attacked": "Frames, what is added to them, and what the agent then thinks"}
OTHER_PICTURES = {
    "fooling": "A picture that the agent takes for each of its actions",
    "reached": "States of the game after which the agent loses most often, beside where they were searched from",
}
ARMS = ("the agent itself", "random steps", "searched steps")
NOTE = (
    "score: mean of whole games; actions changed: share of the attacked steps, and of frames of clean play; cost: what"
    " the agent's own scores lose by these changes, as a share of the largest less the smallest; certified: share of"
    " frames on which interval bounds prove that no change within the budget changes the action; random signs are the"
    " control, on the same frames"
)


def rows_of(run: RunFolder, what: str) -> list[Row]:
    """Return the scores of attacks as rows of text. Raises: RunDataError where there are none."""
    config = run.read_config()
    try:
        result: dict[str, Any] = run.read_result()
        asked = config["config"]
        about = {"what": what, "env_id": str(config["env_id"]), "agent": str(result["agent"])}
        about |= {"games": str(asked["games"]), "frames": str(result["frames"]), "steps": str(asked["steps"])}
        about |= {"pixels": _pixels(asked), "when": _when(asked)} | provenance_of_run(config)
        found = []
        for scores in result["rows"]:
            numbers = {key: float(value) for key, value in scores.items() if key not in ("attack", "levels")}
            row = about | {"attack": scores["attack"], "levels": f"{scores['levels']:g}"}
            row |= {"measures": metrics_to_text(numbers)}
            row["run"] = f"{run.path.resolve().name}/{scores['attack']}_{scores['levels']:g}"
            found.append({name: str(row[name]) for name in COLUMNS})
    except (CheckpointError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise RunDataError(f"{run.path} holds no attacks: python -m agents.attack makes them") from error
    return found


def _pixels(asked: dict[str, Any]) -> str:
    frames = "newest frame" if asked["newest"] else "all frames"
    return f"{frames}, whole levels" if asked["whole"] else frames


def _when(asked: dict[str, Any]) -> str:
    return "every step" if asked["share"] == 1 else f"{asked['when']} {asked['share']:.0%}"


def read(file: Path) -> list[Row]:
    """Return the rows of a CSV. Raises: ResultsError: it is a record of something else."""
    columns, rows = read_csv(file)
    if tuple(columns) != COLUMNS:
        raise ResultsError(f"{file} does not record attacks")
    return rows


def section(file: Path, folder: Path) -> str:
    """Format a CSV of attacks: the figure, and a table for each run. folder: of the document."""
    if not file.exists():
        return 'Not recorded yet: `python -m agents.results --record attacks --what "the claim" runs/RUN`.\n'
    rows = read(file)
    tables = [_table([row for row in rows if run_of(row) == name]) for name in dict.fromkeys(map(run_of, rows))]
    figure = file.with_suffix(".png")
    picture = Path("..") / file.parent.name / figure.name if folder.name == "docs" else figure
    return f"![Score against gray levels]({picture.as_posix()})\n\n" + "\n".join(tables)


def run_of(row: Row) -> str:
    """Return the name of the run that a row is of."""
    return row["run"].rpartition("/")[0]


def _table(rows: list[Row]) -> str:
    first = rows[0]
    return (
        f"**{first['what']}**: {first['agent']}, {first['pixels']}, {first['when']}, {first['games']} games a row,"
        f" {first['frames']} frames, {first['hardware']}, commit {first['commit'][:7]}\n\n"
        f"{markdown(HEAD, cells(rows))}"
    )


def lines(run: RunFolder) -> list[list[str]]:
    """Return the lines of the table of a run; [] where nothing was scored."""
    return cells(rows_of(run, "")) if run.read_result()["rows"] else []


def cells(rows: list[Row]) -> list[list[str]]:
    """Return a line for each row, and for each budget the lowest score of its attacks."""
    found = []
    for level in dict.fromkeys(row["levels"] for row in rows):
        own = [row for row in rows if row["levels"] == level]
        found += [_line(row) for row in own]
        scored = [row for row in own if "score" in metrics_from_text(row["measures"])]
        if len(scored) > 1:
            least = min(scored, key=lambda row: metrics_from_text(row["measures"])["score"])
            found.append([f"{WORST}: {least['attack']}", *_line(least)[1:4], *[""] * (len(HEAD) - 4)])
    return found


def _line(row: Row) -> list[str]:
    of = metrics_from_text(row["measures"])
    span = f"{of['score_low']:.1f} to {of['score_high']:.1f}" if "score_low" in of else "-"
    shares = (_number(of, key, ".0%") for key in ("attacked", "changed", "flipped", "cost"))
    parts = [row["attack"], row["levels"], _number(of, "score", ".2f"), span, *shares]
    return [*parts, _number(of, "certified", ".1%"), _number(of, "ms", ".1f")]


def _number(of: dict[str, float], key: str, form: str) -> str:
    return f"{of[key]:{form}}" if key in of else "-"


def printed(table: list[list[str]]) -> str:
    """Return the lines as they are printed."""
    return "\n".join(f"{line[0]:24} {' | '.join(line[1:]).rstrip(' |')}" for line in table)


def minimum_in_words(result: dict[str, Any]) -> str:
    """Return what the least budgets are, in a sentence."""
    found = result["minimum"]

    def levels(name: str) -> str:
        parts = (found[f"{name}/{share}"] for share in (0.1, 0.5, 0.9))
        return ", ".join("more than 64" if part is None or part > 64 else f"{part:g}" for part in parts)

    return (
        "Least whole gray levels that change the action, for a tenth, half and nine tenths of"
        f" {found['frames']} frames: PGD of three starts {levels('pgd-starts')}; random signs {levels('random')}."
    )


def fooling_in_words(result: dict[str, Any]) -> str:
    """Return by how many levels a picture was changed for each action, in a sentence."""
    parts = (
        f"{label} {'not reached' if level is None or level != level else f'{level:g}'}"
        for label, level in result["fooling"].items()
    )
    return f"Gray levels by which the picture was changed for each action: {', '.join(parts)}."


def search_in_words(result: dict[str, Any]) -> str:
    """Return how often points are lost after steps that are not the agent's, in a sentence."""
    found = result["search"]
    parts = (f"{name} {found[name]:.0%} [{found[f'{name}/low']:.0%}, {found[f'{name}/high']:.0%}]" for name in ARMS)
    return (
        f"Points lost after {found['steps']} steps of somebody else, from {found['moments']} moments,"
        f" {found['tests']} fresh games each: {'; '.join(parts)} (the worst of {found['candidates']} for the last)."
    )


def write_page(run: RunFolder) -> Path:
    """Write the page of attacks into the run folder and return it. Raises: RunDataError, SaveError."""
    result, pictures = run.read_result(), run.path / "pictures"
    parts: list[str] = []
    for name, words in (PICTURES | OTHER_PICTURES).items():
        if (pictures / f"{name}.png").is_file():
            parts += [page.heading(words), page.picture(pictures / f"{name}.png", words)]
    if result["rows"]:
        parts += [page.heading("Scores"), page.table(HEAD, cells(rows_of(run, ""))), page.paragraph(NOTE)]
    if "minimum" in result:
        parts.append(page.paragraph(minimum_in_words(result)))
    if "fooling" in result:
        parts.append(page.paragraph(fooling_in_words(result)))
    if "search" in result:
        parts.append(page.paragraph(search_in_words(result)))
    return page.write(run.path / PAGE, f"{result['agent']} under attack", parts)
