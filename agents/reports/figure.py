"""A comparison as one figure: learning curves by steps and by minutes, and the final scores."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from agents.reports.comparison import AXES, CURVES, Comparison, CurveName, Group
from agents.reports.curves import WINDOW, Axis, band
from agents.reports.statistics import interquartile_mean

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito 2008: colors that stay apart for every common kind of color vision.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
# Line styles repeat with another period than colors, so that gray prints stay readable.
STYLES = ("-", "--", "-.", ":")
MARKERS = ("o", "s", "D", "^", "v")
# Largest number of points of a curve that are shown with markers.
FEW_POINTS = 30


def _style(index: int) -> dict[str, Any]:
    """Return color, line style and marker of the group with this place in the ranking."""
    choices = {"color": COLORS, "linestyle": STYLES, "marker": MARKERS}
    return {name: values[index % len(values)] for name, values in choices.items()}


def _draw_curves(axes: Axes, groups: Sequence[Group], name: CurveName, axis: Axis) -> None:
    for index, group in enumerate(groups):
        style = _style(index)
        curves = group.curves(name)
        if len(curves) > 1:
            for curve in curves:
                thin = {"color": style["color"], "alpha": 0.3, "linewidth": 0.7, "markersize": 4}
                axes.plot(curve.axis(axis), curve.values, marker="." if len(curve) <= FEW_POINTS else "", **thin)
        summary = band(curves, axis)
        # Markers show where evaluations were made: only where all runs made them at the same x.
        same_x = summary.x.size <= min(FEW_POINTS, max((len(curve) for curve in curves), default=0))
        axes.fill_between(summary.x, summary.low, summary.high, color=style["color"], alpha=0.18, linewidth=0)
        axes.plot(
            summary.x,
            summary.value,
            linewidth=1.8,
            markersize=3.5,
            **style | ({} if same_x else {"marker": ""}),
        )


def _draw_scores(axes: Axes, groups: Sequence[Group]) -> None:
    """Draw episodes, the interquartile mean of each run, and that of the group with its interval, a line per group."""
    jitter = np.random.default_rng(0)
    for index, group in enumerate(groups):
        style = _style(index)
        color = style["color"]
        for run in group.runs:
            returns = np.asarray(run.final_returns)
            if not returns.size:
                continue
            heights = index + 0.22 + jitter.uniform(-0.08, 0.08, returns.size)
            axes.scatter(returns, heights, s=7, color=color, alpha=0.35, linewidths=0)
            axes.scatter(interquartile_mean(returns), index + 0.22, s=30, color="white", edgecolors=color, zorder=3)
        if group.score:
            errors = [[group.score.value - group.score.low], [group.score.high - group.score.value]]
            axes.errorbar(group.score.value, index - 0.16, xerr=np.abs(errors), capsize=4, **style)
    axes.set_yticks(range(len(groups)), [f"{g.label} (n={len(g.runs)})" for g in groups])
    axes.set_ylim(len(groups) - 0.4, -0.6)
    axes.set_xlabel("Final evaluation return: dots are episodes, open circles runs, bars the IQM with 95 % interval")


def write_figure(comparison: Comparison, file: Path) -> None:
    """Draw learning curves by steps and by minutes, and the final scores, as PNG.

    Args:
        comparison: the contents.
        file: the PNG; its folder exists.
    """
    from matplotlib.figure import Figure  # here, so that --help needs no matplotlib
    from matplotlib.ticker import EngFormatter

    groups = comparison.groups
    shown = [name for name in CURVES if any(len(curve) for group in groups for curve in group.curves(name))]
    figure = Figure(figsize=(10.0, 3.1 * len(shown) + 1.5 + 0.45 * len(groups)), layout="constrained")
    heights = [3.1] * len(shown) + [0.9 + 0.45 * len(groups)]
    grid = figure.add_gridspec(len(shown) + 1, 2, height_ratios=heights)
    titles: dict[CurveName, str] = {
        "evaluation": "Evaluation return",
        "training": f"Training return\n(mean of the last {WINDOW} episodes)",
    }
    for row, name in enumerate(shown):
        left = figure.add_subplot(grid[row, 0])
        right = figure.add_subplot(grid[row, 1], sharey=left)
        for axes, axis in zip((left, right), AXES, strict=True):
            _draw_curves(axes, groups, name, axis)
            low, high = axes.get_ylim()
            for score in [score for score in groups[0].crossings if low <= score <= high]:
                axes.axhline(score, color="#888888", linewidth=0.7, linestyle=(0, (2, 3)), zorder=0)
            axes.set_xlabel("Agent steps" if axis == "steps" else "Wall-clock minutes")
            axes.set_xlim(left=0)
        left.set_ylabel(titles[name])
        left.xaxis.set_major_formatter(EngFormatter(sep=""))
        right.tick_params(labelleft=False)
    _draw_scores(figure.add_subplot(grid[len(shown), :]), groups)
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="#e6e6e6", linewidth=0.6)
        axes.set_axisbelow(True)
    _legend(figure, groups, comparison.env_id)
    figure.savefig(file, dpi=160)


def _legend(figure: Figure, groups: Sequence[Group], title: str) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], label=f"{group.label} (n={len(group.runs)})", **_style(index))
        for index, group in enumerate(groups)
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=min(4, len(handles)), frameon=False, title=title)
