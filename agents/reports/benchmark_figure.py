"""The figure of a benchmark: final scores, axes for each task and budget.

The figure carries a hash of the CSV that it shows: a stale one is noticed on any machine, whatever its fonts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from agents.reports.figure import COLORS
from agents.reports.recorded_runs import groups, read_runs, returns_of, score
from agents.reports.store import Row
from rl_gen_lab.cli.regular_file import open_regular
from rl_gen_lab.cli.wording import count

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMNS_OF_AXES = 3
INCHES = 3.6  # side of a task's axes
VERSION = "1"  # raised whenever all figures must be drawn again


def figure_of(file: Path) -> Path:
    """Return where the figure of a benchmark's CSV stands."""
    return file.with_suffix(".png")


def is_current(file: Path) -> bool:
    """Return whether the figure beside a CSV shows these rows; no rows need none. Raises: ResultsError."""
    if not read_runs(file):
        return True
    try:
        with open_regular(figure_of(file)) as opened, Image.open(opened) as image:
            return image.info.get("Description") == _hash_of(file)
    except (OSError, ValueError, SyntaxError):  # missing or damaged
        return False


def write_figure(file: Path) -> Path:
    """Draw the figure of a benchmark's CSV; the same rows give the same bytes. Raises: ResultsError."""
    from matplotlib.figure import Figure  # here, so that --help needs no matplotlib

    rows = read_runs(file)
    cells = groups(rows, "fingerprint", "what")
    width = min(len(cells), COLUMNS_OF_AXES)
    height = -(-len(cells) // width)
    figure = Figure(figsize=(INCHES * width, INCHES * height + 0.9), dpi=110, layout="constrained")
    for number, cell in enumerate(cells, 1):
        _draw(figure.add_subplot(height, width, number), cell)
    machines = " / ".join(dict.fromkeys(row["hardware"] for row in rows))
    seeds = " ".join(sorted({row["seed"] for row in rows}, key=int))
    figure.supxlabel(
        "Interquartile mean of the final evaluation, 95 % bootstrap interval over runs and episodes;"
        f" small points: mean of each seed ({seeds}).\nBlue: ours, orange: Stable-Baselines3. {machines}",
        fontsize=8,
    )
    path = figure_of(file)
    figure.savefig(path, metadata={"Software": None, "Description": _hash_of(file)})
    return path


def _hash_of(file: Path) -> str:
    return hashlib.sha256(file.read_bytes() + VERSION.encode()).hexdigest()


def _draw(axes: Axes, cell: Sequence[Row]) -> None:
    """Draw the agents of a task beside each other."""
    agents = groups(sorted(cell, key=lambda row: row["agent"].startswith("sb3_")), "agent")
    for x, runs in enumerate(agents):
        color = COLORS[1 if runs[0]["agent"].startswith("sb3_") else 0]
        means = [float(np.mean(returns)) for returns in returns_of(runs)]
        offsets = 0.25 + 0.2 * np.linspace(-0.5, 0.5, len(means)) * (len(means) > 1)
        axes.plot(x + offsets, means, "o", markersize=3.5, color=color, alpha=0.6, markeredgewidth=0)
        estimate = score(runs)
        errors = [[max(estimate.value - estimate.low, 0.0)], [max(estimate.high - estimate.value, 0.0)]]
        axes.errorbar(x, estimate.value, yerr=errors, fmt="D", markersize=5, capsize=3, color=color)
    labels = [f"{runs[0]['agent']}\n{count(len(runs), 'seed')}" for runs in agents]
    axes.set_xticks(range(len(agents)), labels, fontsize=7, rotation=45)
    axes.set_xlim(-0.5, len(agents) - 0.3)
    axes.set_title(f"{cell[0]['env_id']}\n{cell[0]['what']}", fontsize=9)
    axes.tick_params(axis="y", labelsize=8)
    axes.grid(axis="y", alpha=0.3)
