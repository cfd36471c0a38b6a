"""Recorded agents inside and outside their dreams: what `agents.outside` wrote, as a table."""

from pathlib import Path

import numpy as np

from agents.reports.format import markdown
from agents.reports.store import ResultsError, Row, read_csv

NEEDED = ("agent", "env_steps", "return_inside", "return_outside", "episodes", "dream_run", "sticky", "game")
LEAST_RANKED = 3  # agents whose order says something


def section(file: Path) -> str:
    """Format the agents of each dream, best outside first, and how far their orders agree.

    Raises:
        ResultsError: it is a record of something else.
    """
    if not file.exists():
        return "Not recorded yet: `python -m agents.outside runs/RUN`.\n"
    columns, rows = read_csv(file)
    if set(NEEDED) - set(columns):
        raise ResultsError(f"{file} does not record agents inside and outside their dreams")
    names = list(dict.fromkeys(row["dream_run"] for row in rows))
    return "\n".join(_table([row for row in rows if row["dream_run"] == name]) for name in names)


def _table(rows: list[Row]) -> str:
    """Format the agents of one dream."""
    first = rows[0]
    ranked = sorted(rows, key=lambda row: -float(row["return_outside"]))
    lines = [
        [
            row["agent"].partition(" trained on ")[0],
            "dreams" if "dreams/" in row["agent"] else "the game",
            f"{int(row['env_steps'] or 0):,}",
            f"{row['return_inside']} ± {row['std_inside']}",
            f"{row['return_outside']} ± {row['std_outside']}",
            row["training_seed"],
        ]
        for row in ranked
    ]
    title = f"{first['game']}, sticky {first['sticky']}, {first['episodes']} episodes inside and outside each"
    if first.get("imagined_steps_per_cpu_second"):
        title += f"; {int(first['imagined_steps_per_cpu_second']):,} imagined steps in a second of processor time"
    if len(rows) >= LEAST_RANKED:
        inside, outside = ([float(row[f"return_{where}"]) for row in rows] for where in ("inside", "outside"))
        title += f"; rank correlation {rank_correlation(inside, outside):.2f}"
    head = ["agent", "trained in", "steps", "return inside", "return outside", "seed"]
    return f"{title}:\n\n{markdown(head, lines)}"


def rank_correlation(one: list[float], other: list[float]) -> float:
    """Return Spearman's rank correlation; equal values share their mean rank. NaN where all values of one are equal."""
    if len(set(one)) == 1 or len(set(other)) == 1:
        return float("nan")
    return float(np.corrcoef(_ranks(np.asarray(one)), _ranks(np.asarray(other)))[0, 1])


def _ranks(values: np.ndarray) -> np.ndarray:
    return np.array([(values < value).sum() + ((values == value).sum() - 1) / 2 for value in values])
