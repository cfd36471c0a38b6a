"""The figure of recorded attacks: score against gray levels, by the worst of all attacks and by random signs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from agents.reports.attacks import CLEAN, CONTROL, read, run_of
from agents.reports.figure import COLORS
from agents.reports.format import metrics_from_text
from agents.reports.store import Row

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Point = tuple[float, float, float, float]  # gray levels, score, low, high


def points(rows: list[Row]) -> tuple[list[Point], list[Point]]:
    """Return for each budget the lowest score of the attacks by gradients, and that of random signs.

    Games as they are begin both lines. Rows without games are left out.
    """
    found: tuple[list[Point], list[Point]] = ([], [])
    scored = [(row, metrics_from_text(row["measures"])) for row in rows]
    scored = [(row, of) for row, of in scored if "score" in of]
    for level in sorted({float(row["levels"]) for row, _ in scored}):
        own = [(row["attack"], of) for row, of in scored if float(row["levels"]) == level]
        for line, names in zip(found, ("gradients", CONTROL), strict=True):
            kept = [of for name, of in own if name == CLEAN or (name == CONTROL) == (names == CONTROL)]
            if kept:
                least = min(kept, key=lambda of: of["score"])
                line.append((level, least["score"], least["score_low"], least["score_high"]))
    return found


def draw(rows: list[Row]) -> Figure:
    """Draw the runs in which every step and all frames were attacked, with 95 % intervals."""
    from matplotlib.figure import Figure  # here, so that --help needs no matplotlib

    rows = [row for row in rows if row["when"] == "every step" and row["pixels"] == "all frames"]
    figure = Figure(figsize=(7.5, 4.2), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    for number, name in enumerate(dict.fromkeys(run_of(row) for row in rows)):
        own = [row for row in rows if run_of(row) == name]
        styles = (("-", "o", "worst of all attacks"), ("--", "s", "random signs"))
        for line, (style, marker, words) in zip(points(own), styles, strict=True):
            if len(line) < 2:
                continue
            levels, scores, low, high = (list(column) for column in zip(*line, strict=True))
            errors = [
                [s - end for s, end in zip(scores, low, strict=True)],
                [end - s for s, end in zip(scores, high, strict=True)],
            ]
            color = COLORS[number % len(COLORS)]
            label = f"{own[0]['what']}: {words}"
            axes.errorbar(levels, scores, errors, fmt=style, marker=marker, capsize=3, color=color, label=label)
    axes.set_xlabel("gray levels by which a pixel may change")
    axes.set_ylabel("score of whole games, 95 % interval")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=8)
    axes.grid(alpha=0.3)
    return figure


def write_figure(file: Path) -> Path:
    """Draw the figure of a CSV beside it, and return it. Raises: ResultsError."""
    path = file.with_suffix(".png")
    draw(read(file)).savefig(path, metadata={"Software": None})
    return path
