"""What a lag costs: steps to the score that counts as solved, against the lag, as a table and as a figure.

Its rows are recorded runs whose claim is "NAME, lag NUMBER"; the runs of one claim differ by their seeds.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from agents.reports.figure import COLORS
from agents.reports.recorded_runs import read_runs
from agents.reports.store import ResultsError, Row

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CLAIM = re.compile(r"(?P<name>.+), lag (?P<lag>\d{1,6})")
Point = tuple[int, float, float, float]  # lag; median, least and most steps, infinite for runs that never got there


def points(rows: list[Row]) -> dict[str, list[Point]]:
    """Return the points of each name, by rising lag. Raises: ResultsError for a claim of another form."""
    steps: dict[tuple[str, int], list[float]] = {}
    for row in rows:
        if (claim := CLAIM.fullmatch(row["what"])) is None:
            raise ResultsError(
                f"'{row['what']}' is no claim about a lag: \"NAME, lag NUMBER\" is what the figure reads"
            )
        steps.setdefault((claim["name"], int(claim["lag"])), []).append(float(row["steps_to_threshold"] or np.inf))
    found: dict[str, list[Point]] = {name: [] for name, _ in steps}
    for (name, lag), of_seeds in sorted(steps.items(), key=lambda item: item[0][1]):
        found[name].append((lag, float(np.sort(of_seeds)[len(of_seeds) // 2]), min(of_seeds), max(of_seeds)))
    return found


def section(file: Path) -> str:
    """Return a table of all agents by lag: median and range of the seeds. Raises: ResultsError."""
    rows = read_runs(file)
    lines = points(rows)
    lags = sorted({lag for line in lines.values() for lag, *_ in line})
    seeds = {name: max(Counter(row["what"] for row in rows)[f"{name}, lag {lag}"] for lag in lags) for name in lines}
    most = max(seeds.values())
    fewer = "".join(f" ({name}: {number})" for name, number in seeds.items() if number < most)
    table = [["agent", *(f"lag {lag}" for lag in lags)], ["---"] * (1 + len(lags))]
    for name, line in lines.items():
        cells = {lag: _cell(*steps) for lag, *steps in line}
        table.append([name, *(cells.get(lag, "") for lag in lags)])
    never = f'; "never": not within {max(int(row["env_steps"]) for row in rows):,} steps' if _lost(lines) else ""
    about = (
        f"Task `{rows[0]['task']}`: agent steps to an evaluation of {float(rows[0]['threshold']):g}, median of {most}"
        f" seeds{fewer} with their range{never}. {', '.join(dict.fromkeys(row['hardware'] for row in rows))}."
        f" Commit, command and scores of every run: `{file.parent.name}/{file.name}`."
    )
    return "\n".join(f"| {' | '.join(cells)} |" for cells in table) + f"\n\n{about}\n"


def _lost(lines: dict[str, list[Point]]) -> bool:
    return any(np.isinf(most) for line in lines.values() for *_, most in line)


def _cell(median: float, least: float, most: float) -> str:
    words = [f"{steps:,.0f}" if np.isfinite(steps) else "never" for steps in (median, least, most)]
    return f"**{words[0]}** ({words[1]} to {words[2]})" if words[1] != words[2] else f"**{words[0]}**"


def draw(rows: list[Row]) -> Figure:
    """Draw medians with the range of the seeds; a cross at the upper end where half of the seeds never got there."""
    from matplotlib.figure import Figure  # here, so that --help needs no matplotlib

    figure = Figure(figsize=(7.5, 4.2), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    lines = points(rows)
    top = 1.05 * max(float(row["env_steps"]) for row in rows)
    for number, (name, line) in enumerate(lines.items()):
        lags, *ends = (np.array(column, dtype=float) for column in zip(*line, strict=True))
        median, least, most = (np.minimum(end, top) for end in ends)
        shift = 1 + 0.04 * (number - len(lines) / 2)  # so that bars of one lag stand side by side
        color = COLORS[number % len(COLORS)]
        axes.errorbar(
            lags * shift, median, [median - least, most - median], fmt="-o", capsize=3, color=color, label=name
        )
        lost = ~np.isfinite(ends[0])
        axes.plot((lags * shift)[lost], median[lost], "x", color=color, markersize=11, markeredgewidth=2)
    axes.set_xscale("symlog", linthresh=1)
    ticks = sorted({lag for line in lines.values() for lag, *_ in line})
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel("lag: how far the weights that act are behind those that learn")
    axes.set_ylabel(f"agent steps to a return of {float(rows[0]['threshold']):g}, median and range")
    axes.legend(fontsize=8)
    axes.grid(alpha=0.3)
    return figure


def write_figure(file: Path) -> Path:
    """Draw the figure of a CSV beside it, and return it. Raises: ResultsError."""
    path = file.with_suffix(".png")
    draw(read_runs(file)).savefig(path, metadata={"Software": None})
    return path
