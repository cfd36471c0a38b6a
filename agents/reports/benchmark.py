"""What the README shows of a benchmark: a picture, a table for each task, and where Stable-Baselines3 scores higher.

All of it is made from the rows of results/NAME.csv. The picture carries a hash of these rows, so that a stale one is
noticed on any machine, whatever its fonts. Why the reference is ahead somewhere is for people to say, in
results/reasons.toml: a table for each suite, `"CartPole-v1 dqn" = "the reason"`.
"""

import hashlib
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from agents.reports.figure import COLOURS
from agents.reports.statistics import Estimate, difference_interval
from agents.reports.tables import (
    COLUMNS,
    ResultsError,
    Row,
    estimate_text,
    groups,
    markdown,
    read_csv,
    returns_of,
    score,
    score_text,
    table,
)
from rl_gen_lab.cli.errors import suggest

# Our agent -> the same algorithm of Stable-Baselines3. REINFORCE has none.
COUNTERPARTS = {"dqn": "sb3_dqn", "actor_critic": "sb3_a2c", "ppo": "sb3_ppo"}
COLUMNS_OF_PICTURE = 3
INCHES = 3.6  # side of a task's axes
DRAWING = "1"  # changed whenever pictures shall be drawn anew


def runs_of(file: Path) -> list[Row]:
    """The rows of a benchmark's CSV. Raises: ResultsError, also when its columns are not those of runs."""
    columns, rows = read_csv(file)
    if tuple(columns) != COLUMNS:
        raise ResultsError(f"{file} does not record runs, so it is no benchmark")
    return rows


# ------------------------------------------------------------------------------------------------------- text


@dataclass(frozen=True)
class Loss:
    """A task and algorithm where Stable-Baselines3's interquartile mean is higher at the same budget."""

    ours: list[Row]
    theirs: list[Row]
    # Ours minus theirs, below 0.
    difference: Estimate


def compare_cells(rows: Sequence[Row]) -> tuple[list[Loss], int]:
    """Where Stable-Baselines3 is ahead, the clearest first, and the number of cells in which both have runs.

    A cell is an algorithm on a task (fingerprint) with a budget (`what`).
    """
    losses, both = [], 0
    for cell in groups(rows, "fingerprint", "what"):
        of = {agent[0]["agent"]: agent for agent in groups(cell, "agent")}
        for ours, theirs in COUNTERPARTS.items():
            if ours in of and theirs in of:
                both += 1
                gap = difference_interval(returns_of(of[ours]), returns_of(of[theirs]))
                if gap.value < 0:
                    losses.append(Loss(of[ours], of[theirs], gap))
    return sorted(losses, key=lambda loss: loss.difference.high), both


def reasons(file: Path) -> dict[str, str]:
    """ "CartPole-v1 dqn" -> why Stable-Baselines3 is ahead there, as people wrote it. Raises: ResultsError."""
    path = file.with_name("reasons.toml")
    if not path.exists():
        return {}
    try:
        said = tomllib.loads(path.read_text(encoding="utf-8")).get(file.stem, {})
    except (OSError, ValueError) as error:
        raise ResultsError(f"cannot read {path}: {error}") from error
    if not isinstance(said, dict) or not all(isinstance(reason, str) for reason in said.values()):
        raise ResultsError(f'{path}: {file.stem} must be a table of lines like "CartPole-v1 dqn" = "the reason"')
    return said


def reasons_without_a_cell(file: Path) -> list[str]:
    """A line for each reason whose task and agent no row of the CSV has: most likely a slip of the pen."""
    cells = {f"{row['env_id']} {row['agent']}" for row in runs_of(file)}
    path = file.with_name("reasons.toml")
    return [
        f"{path}: {file.stem} has no runs of '{cell}'.{suggest(cell, cells)}"
        for cell in reasons(file)
        if cell not in cells
    ]


def losses_text(rows: Sequence[Row], why: dict[str, str]) -> str:
    """The table of all cells where Stable-Baselines3 is ahead."""
    losses, both = compare_cells(rows)
    title = f"Stable-Baselines3 scores higher at the same budget in {len(losses)} of {both} cells"
    if not losses:
        return f"{title}.\n"
    head = ["task", "budget", "agent", "ours: IQM [95 % interval]", "theirs", "ours minus theirs", "runs", "why"]
    lines = []
    for loss in losses:
        first, gap = loss.ours[0], loss.difference
        doubt = "" if gap.high < 0 else ", may be chance"
        lines.append(
            [
                *(first["env_id"], first["what"], first["agent"], score_text(loss.ours), score_text(loss.theirs)),
                *(estimate_text(gap) + doubt, f"{len(loss.ours)} and {len(loss.theirs)}"),
                why.get(f"{first['env_id']} {first['agent']}", "not explained yet"),
            ]
        )
    return f"{title}:\n\n{markdown(head, lines)}"


def section(file: Path) -> str:
    """The Markdown of a benchmark, for a README beside the folder of its CSV. Raises: ResultsError."""
    rows = runs_of(file)
    if not rows:
        return f"Not run yet: `python -m agents.benchmark --suite {file.stem}`.\n"
    picture = f"![Final scores of {file.stem}]({file.resolve().parent.name}/{picture_of(file).name})\n"
    return "\n".join([picture, table(file), losses_text(rows, reasons(file))])


# ---------------------------------------------------------------------------------------------------- picture


def picture_of(file: Path) -> Path:
    """Where the picture of a benchmark's CSV stands."""
    return file.with_suffix(".png")


def _hash_of(file: Path) -> str:
    return hashlib.sha256(file.read_bytes() + DRAWING.encode()).hexdigest()


def picture_is_current(file: Path) -> bool:
    """Whether the picture beside a CSV was drawn from these rows; a CSV without rows needs none."""
    if not runs_of(file):
        return True
    try:
        with Image.open(picture_of(file)) as image:
            return image.info.get("Description") == _hash_of(file)
    except OSError:
        return False


def write_picture(file: Path) -> Path:
    """Draw final scores, axes for each task and budget, from a benchmark's CSV; the same rows, the same bytes."""
    rows = runs_of(file)
    cells = groups(rows, "fingerprint", "what")
    width = min(len(cells), COLUMNS_OF_PICTURE)
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
    path = picture_of(file)
    figure.savefig(path, metadata={"Software": None, "Description": _hash_of(file)})
    return path


def _draw(axes: Axes, cell: Sequence[Row]) -> None:
    """The agents of a task beside each other."""
    agents = groups(sorted(cell, key=lambda row: row["agent"].startswith("sb3_")), "agent")
    for x, runs in enumerate(agents):
        colour = COLOURS[1 if runs[0]["agent"].startswith("sb3_") else 0]
        means = [float(np.mean(returns)) for returns in returns_of(runs)]
        spread = 0.25 + 0.2 * np.linspace(-0.5, 0.5, len(means)) * (len(means) > 1)
        axes.plot(x + spread, means, "o", markersize=3.5, color=colour, alpha=0.6, markeredgewidth=0)
        found = score(runs)
        bar = [[max(found.value - found.low, 0.0)], [max(found.high - found.value, 0.0)]]
        axes.errorbar(x, found.value, yerr=bar, fmt="D", markersize=5, capsize=3, color=colour)
    labels = [f"{runs[0]['agent']}\n{len(runs)} seed{'s' * (len(runs) > 1)}" for runs in agents]
    axes.set_xticks(range(len(agents)), labels, fontsize=7, rotation=45)
    axes.set_xlim(-0.5, len(agents) - 0.3)
    axes.set_title(f"{cell[0]['env_id']}\n{cell[0]['what']}", fontsize=9)
    axes.tick_params(axis="y", labelsize=8)
    axes.grid(axis="y", alpha=0.3)
