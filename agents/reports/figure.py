"""A comparison as one figure: learning curves by steps and by minutes, and the final scores."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter

from agents.reports.comparison import AXES, KINDS, Comparison, Group, Kind
from agents.reports.curves import WINDOW, Axis, band
from agents.reports.statistics import interquartile_mean

# Okabe and Ito 2008: eight colours that stay apart for every common kind of colour vision.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
# Line styles repeat with another period than colours, so that grey prints stay readable.
STYLES = ("-", "--", "-.", ":")
MARKERS = ("o", "s", "D", "^", "v")
# Up to so many points a curve shows them with markers.
FEW_POINTS = 30


def _look(index: int) -> dict[str, Any]:
    """Colour, line style and marker of the group with this place in the ranking."""
    styles = {"color": COLOURS, "linestyle": STYLES, "marker": MARKERS}
    return {name: choices[index % len(choices)] for name, choices in styles.items()}


def _draw_curves(axes: Axes, groups: Sequence[Group], kind: Kind, axis: Axis) -> None:
    for index, group in enumerate(groups):
        look = _look(index)
        curves = group.curves(kind)
        if len(curves) > 1:
            for curve in curves:
                thin = {"color": look["color"], "alpha": 0.3, "linewidth": 0.7, "markersize": 4}
                axes.plot(curve.axis(axis), curve.values, marker="." if len(curve) <= FEW_POINTS else "", **thin)
        summary = band(curves, axis)
        # Markers show where evaluations were made, so only where all runs made them at the same places.
        places = summary.x.size <= min(FEW_POINTS, max((len(curve) for curve in curves), default=0))
        axes.fill_between(summary.x, summary.low, summary.high, color=look["color"], alpha=0.18, linewidth=0)
        axes.plot(
            summary.x,
            summary.value,
            linewidth=1.8,
            markersize=3.5,
            **look | ({} if places else {"marker": ""}),
        )


def _draw_scores(axes: Axes, groups: Sequence[Group]) -> None:
    """Each episode, each run's interquartile mean, and the group's with its interval, one line per group."""
    jitter = np.random.default_rng(0)
    for index, group in enumerate(groups):
        look = _look(index)
        colour = look["color"]
        for run in group.runs:
            returns = np.asarray(run.final_returns)
            if not returns.size:
                continue
            heights = index + 0.22 + jitter.uniform(-0.08, 0.08, returns.size)
            axes.scatter(returns, heights, s=7, color=colour, alpha=0.35, linewidths=0)
            axes.scatter(interquartile_mean(returns), index + 0.22, s=30, color="white", edgecolors=colour, zorder=3)
        if group.score:
            reach = [[group.score.value - group.score.low], [group.score.high - group.score.value]]
            axes.errorbar(group.score.value, index - 0.16, xerr=np.abs(reach), capsize=4, **look)
    axes.set_yticks(range(len(groups)), [f"{g.label} (n={len(g.runs)})" for g in groups])
    axes.set_ylim(len(groups) - 0.4, -0.6)
    axes.set_xlabel("Final evaluation return: dots are episodes, open circles runs, bars the IQM with 95 % interval")


def write_figure(comparison: Comparison, file: Path) -> None:
    """Learning curves by steps and by minutes, and the final scores, as PNG.

    Args:
        comparison: what to draw.
        file: where; its folder exists.
    """
    groups = comparison.groups
    kinds = [kind for kind in KINDS if any(len(curve) for group in groups for curve in group.curves(kind))]
    figure = Figure(figsize=(10.0, 3.1 * len(kinds) + 1.5 + 0.45 * len(groups)), layout="constrained")
    heights = [3.1] * len(kinds) + [0.9 + 0.45 * len(groups)]
    grid = figure.add_gridspec(len(kinds) + 1, 2, height_ratios=heights)
    titles: dict[Kind, str] = {
        "evaluation": "Evaluation return",
        "training": f"Training return\n(mean of the last {WINDOW} episodes)",
    }
    for row, kind in enumerate(kinds):
        left = figure.add_subplot(grid[row, 0])
        right = figure.add_subplot(grid[row, 1], sharey=left)
        for axes, axis in zip((left, right), AXES, strict=True):
            _draw_curves(axes, groups, kind, axis)
            low, high = axes.get_ylim()
            for score in [score for score in groups[0].crossings if low <= score <= high]:
                axes.axhline(score, color="#888888", linewidth=0.7, linestyle=(0, (2, 3)), zorder=0)
            axes.set_xlabel("Agent steps" if axis == "steps" else "Wall-clock minutes")
            axes.set_xlim(left=0)
        left.set_ylabel(titles[kind])
        left.xaxis.set_major_formatter(EngFormatter(sep=""))
        right.tick_params(labelleft=False)
    _draw_scores(figure.add_subplot(grid[len(kinds), :]), groups)
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="#e6e6e6", linewidth=0.6)
        axes.set_axisbelow(True)
    _legend(figure, groups, comparison.env_id)
    figure.savefig(file, dpi=160)


def _legend(figure: Figure, groups: Sequence[Group], title: str) -> None:
    handles = [
        Line2D([], [], label=f"{group.label} (n={len(group.runs)})", **_look(index))
        for index, group in enumerate(groups)
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=min(4, len(handles)), frameon=False, title=title)
