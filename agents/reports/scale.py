"""The plan to many actors: tables and the figure of results/scale_plan.csv."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from agents.reports.figure import COLORS
from agents.reports.format import markdown
from agents.reports.store import ResultsError, Row, read_csv
from rl_gen_lab.runs.files import replace_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Rows of these words are in the figure; all others are in the tables.
ACTORS, QUEUE = "more actors", "longer queue"
RULES = {"oldest": "drop the oldest", "newest": "drop the new one", "wait": "the actor waits"}
FLOW = (
    *("plan", "actors x steps/s, chunk", "batch, update", "weights each, after", "queue, when full", "used/s"),
    *("dropped", "lag in updates, median / 95 %", "queue filled", "learner idle", "actors wait", "bottleneck"),
)
TRAFFIC = (
    *("plan", "actors", "frames as they are, MB/s", "packed, MB/s", "cores to unpack", "weights to each actor, MB/s"),
    *("to each host, MB/s", "by a tree, MB/s a node", "levels"),
)


def flow(file: Path) -> str:
    """Format who waits for whom, a line for each plan. Raises: ResultsError."""
    lines = []
    for row in _of_tables(file):
        chunk, batch = int(row["chunk_steps"]), int(row["batch_chunks"])
        each = _milliseconds(row["broadcast_ms"]) if float(row["broadcast_ms"]) else "update"
        lines.append(
            [
                row["what"],
                f"{int(row['actors']):,} x {float(row['steps_per_second']):,g}, {chunk}",
                f"{batch * chunk:,}, {_milliseconds(row['update_ms'])}",
                f"{each}, {_milliseconds(row['delay_ms'])}",
                f"{int(row['queue_batches']) * batch:,}, {RULES[row['when_full']]}",
                f"{float(row['used_per_second']):,.0f}",
                f"{float(row['dropped']):.0%}",
                f"{row['lag_median']} / {row['lag_95']}",
                *(f"{float(row[name]):.0%}" for name in ("queue", "idle", "waiting")),
                row["bottleneck"],
            ]
        )
    return markdown(FLOW, lines) + _note(file)


def traffic(file: Path) -> str:
    """Format the bytes a second, a line for each plan, and the inputs below. Raises: ResultsError."""
    rows = _of_tables(file)
    columns = ("raw_mb", "packed_mb", "unpack_cores", "to_actors_mb", "to_hosts_mb", "tree_node_mb")
    lines = [
        [row["what"], f"{int(row['actors']):,}", *(f"{float(row[name]):,.3g}" for name in columns), row["tree_levels"]]
        for row in rows
    ]
    inputs = (
        "{frame_bytes:,g} bytes a frame, {packed_bytes:,g} packed and {unpack_us:g} us to unpack, {other_bytes:g} bytes"
        " of other numbers a step, {weight_bytes:,g} bytes of weights, {actors_per_host:g} actors a host,"
        " a host passes weights on to {fan_out:g}"
    )
    names = ("frame_bytes", "packed_bytes", "unpack_us", "other_bytes", "weight_bytes", "actors_per_host", "fan_out")
    said = dict.fromkeys(inputs.format(**{name: float(row[name]) for name in names}) for row in rows)
    return markdown(TRAFFIC, lines) + f"\nInputs: {'; or '.join(said)}.\n" + _note(file)


def write_figure(file: Path, picture: Path) -> Path:
    """Draw used steps and lag by the number of actors, and lag by the length of the queue.

    Raises: ResultsError without rows for either.
    """
    from matplotlib.figure import Figure  # here, so that --help needs no matplotlib

    rows = read_csv(file)[1]
    by_actors = sorted((row for row in rows if row["what"] == ACTORS), key=lambda row: int(row["actors"]))
    by_queue = [row for row in rows if row["what"] == QUEUE]
    if not by_actors or not by_queue:
        raise ResultsError(f'{file} has no rows for the figure: record some with --what "{ACTORS}" and "{QUEUE}"')
    figure = Figure(figsize=(12.0, 3.9), layout="constrained")
    throughput, lag, queue = figure.subplots(1, 3)
    actors = [int(row["actors"]) for row in by_actors]
    played = [int(row["actors"]) * float(row["steps_per_second"]) / 1e3 for row in by_actors]
    used = [float(row["used_per_second"]) / 1e3 for row in by_actors]
    throughput.plot(actors, played, "--", color="#888888", label="played")
    throughput.plot(actors, used, marker="o", color=COLORS[0], label="learned from")
    throughput.set(xlabel="actors", ylabel="thousand steps a second")
    _draw_lag(lag, actors, by_actors, COLORS[0], "")
    lag.set(xlabel="actors", ylabel="lag, median to 95 % [updates]")
    for (rule, words), color in zip(RULES.items(), COLORS, strict=False):
        of_rule = [row for row in by_queue if row["when_full"] == rule]
        of_rule.sort(key=lambda row: int(row["queue_batches"]))
        _draw_lag(queue, [int(row["queue_batches"]) for row in of_rule], of_rule, color, words)
    queue.set_xscale("log", base=2)
    queue.xaxis.set_major_formatter("{x:g}")
    queue.set(xlabel="batches that the queue holds", ylabel="lag, median to 95 % [updates]")
    for axes in (throughput, lag, queue):
        axes.set_ylim(bottom=0)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="#e6e6e6", linewidth=0.6)
        axes.set_axisbelow(True)
    throughput.legend(frameon=False)
    queue.legend(frameon=False)
    replace_file(picture, lambda new: figure.savefig(new, dpi=130, format="png"))
    return picture


def _draw_lag(axes: Axes, places: Sequence[int], rows: Sequence[Row], color: str, label: str) -> None:
    middle, late = ([int(row[name]) for row in rows] for name in ("lag_median", "lag_95"))
    axes.plot(places, middle, marker="o", color=color, label=label)
    axes.fill_between(places, middle, late, color=color, alpha=0.2, linewidth=0)


def _of_tables(file: Path) -> list[Row]:
    return [row for row in read_csv(file)[1] if row["what"] not in (ACTORS, QUEUE)]


def _milliseconds(text: str) -> str:
    return f"{float(text):,g} ms"


def _note(file: Path) -> str:
    return f"\nCommit, date and command of every row: `results/{file.name}`.\n"
