"""The part of a document about a benchmark: a figure, a table per task, and where Stable-Baselines3 scores higher.

All of it is made from the rows of results/NAME.csv. Reasons why the reference is ahead are written by people, in
results/reasons.toml: a table per suite, `"CartPole-v1 dqn" = "the reason"`.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agents.reports.benchmark_figure import figure_of
from agents.reports.format import interval, markdown
from agents.reports.recorded_runs import groups, read_runs, returns_of, score
from agents.reports.statistics import Estimate, difference_interval
from agents.reports.store import ResultsError, Row
from agents.reports.tables import table
from rl_gen_lab.cli.errors import suggest
from rl_gen_lab.cli.regular_file import read_toml, reason_of

# Our agents and Stable-Baselines3's of the same algorithm. REINFORCE has none there.
COUNTERPARTS = {"dqn": "sb3_dqn", "actor_critic": "sb3_a2c", "ppo": "sb3_ppo"}


@dataclass(frozen=True)
class Loss:
    """A task and algorithm in which Stable-Baselines3's interquartile mean is higher at the same budget."""

    ours: list[Row]
    theirs: list[Row]
    # Ours minus theirs, below 0.
    difference: Estimate


def compare_cells(rows: Sequence[Row]) -> tuple[list[Loss], int]:
    """Find where Stable-Baselines3 is ahead.

    A cell is an algorithm on a task (fingerprint) with a budget (`what`).

    Returns:
        the losses, the most certain one first, and the number of cells in which both have runs.
    """
    losses, compared = [], 0
    for cell in groups(rows, "fingerprint", "what"):
        by_agent = {runs[0]["agent"]: runs for runs in groups(cell, "agent")}
        for ours, theirs in COUNTERPARTS.items():
            if ours in by_agent and theirs in by_agent:
                compared += 1
                gap = difference_interval(returns_of(by_agent[ours]), returns_of(by_agent[theirs]))
                if gap.value < 0:
                    losses.append(Loss(by_agent[ours], by_agent[theirs], gap))
    return sorted(losses, key=lambda loss: loss.difference.high), compared


def reasons(file: Path) -> dict[str, str]:
    """Read why Stable-Baselines3 is ahead, by cell ("CartPole-v1 dqn"), as people wrote it. Raises: ResultsError."""
    path = file.with_name("reasons.toml")
    if not path.exists():
        return {}
    try:
        by_cell = read_toml(path).get(file.stem, {})
    except (OSError, ValueError) as error:
        raise ResultsError(f"cannot read {path}: {reason_of(error)}") from error
    if not isinstance(by_cell, dict) or not all(isinstance(reason, str) for reason in by_cell.values()):
        raise ResultsError(f'{path}: {file.stem} must be a table of lines like "CartPole-v1 dqn" = "the reason"')
    return by_cell


def reasons_without_a_cell(file: Path) -> list[str]:
    """Return a line for each reason whose task and agent no row of the CSV has: most likely a misspelling."""
    cells = {f"{row['env_id']} {row['agent']}" for row in benchmark_rows(file)}
    path = file.with_name("reasons.toml")
    return [
        f"{path}: {file.stem} has no runs of '{cell}'.{suggest(cell, cells)}"
        for cell in reasons(file)
        if cell not in cells
    ]


def losses_text(rows: Sequence[Row], reason_of: dict[str, str]) -> str:
    """Format the table of all cells in which Stable-Baselines3 is ahead, with the reasons by cell."""
    losses, compared = compare_cells(rows)
    title = f"Stable-Baselines3 scores higher at the same budget in {len(losses)} of {compared} cells"
    if not losses:
        return f"{title}.\n"
    head = ["task", "budget", "agent", "ours: IQM [95 % interval]", "theirs", "ours minus theirs", "runs", "why"]
    lines = []
    for loss in losses:
        first, gap = loss.ours[0], loss.difference
        doubt = "" if gap.high < 0 else ", may be chance"
        lines.append(
            [
                *(first["env_id"], first["what"], first["agent"]),
                *(interval(score(loss.ours)), interval(score(loss.theirs)), interval(gap) + doubt),
                f"{len(loss.ours)} and {len(loss.theirs)}",
                reason_of.get(f"{first['env_id']} {first['agent']}", "not explained yet"),
            ]
        )
    return f"{title}:\n\n{markdown(head, lines)}"


def section(file: Path, folder: Path) -> str:
    """Format a benchmark for a document in `folder`. Raises: ResultsError."""
    rows = benchmark_rows(file)
    if not rows:
        return f"Not run yet: `python -m agents.benchmark --suite {file.stem}`.\n"
    link = Path(os.path.relpath(figure_of(file).resolve(), folder.resolve())).as_posix()
    figure = f"![Final scores of {file.stem}]({link})\n"
    return "\n".join([figure, table(file), losses_text(rows, reasons(file))])


def benchmark_rows(file: Path) -> list[Row]:
    """Read the rows of a benchmark's CSV. Raises: ResultsError, also when it does not record runs."""
    return read_runs(file, "does not record runs, so it is no benchmark")
