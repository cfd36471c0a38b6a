"""Markdown tables and sentences of recorded results, made from the rows of a CSV."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from agents.reports.format import duration, interval, markdown, median, number, time_to_score, with_range
from agents.reports.recorded_runs import COLUMNS, by_seed, groups, read_checked, read_runs, score
from agents.reports.store import ResultsError, Row
from rl_gen_lab.cli.wording import count, plural

PROVENANCE = ("commit", "date", "command")  # in the CSV, not in a document
STATED_ONCE = ("hardware", "threads", "seed")  # below the table where all rows agree


def table(file: Path) -> str:
    """Format a CSV of results: of recorded runs a table per task, best interquartile mean first; of others every row.

    Raises: ResultsError.
    """
    columns, rows = read_checked(file)
    if tuple(columns) != COLUMNS:
        return _plain_table(file, _speed_ratios(rows) if "pair" in columns else rows)
    return "\n".join(_task_table(task) for task in groups(rows, "fingerprint"))


def _task_table(rows: Sequence[Row]) -> str:
    """Format the runs of a task, a line per group of comparable runs."""
    thresholds = {row["threshold"] for row in rows}
    timed = any(thresholds)
    head = ["what", "agent", "final score: IQM [95 % interval]", "evidence"]
    if timed:
        single = len(thresholds) == 1
        head.append(f"median time to {float(thresholds.pop()):g}" if single else "median time to score")
    head += ["minutes", "env steps", "env steps/s", "peak MB", "hardware"]
    lines = []
    comparable = groups(rows, "what", "agent", "hardware", "threshold")
    for runs in sorted(comparable, key=lambda runs: -score(runs).value):
        first = runs[0]
        line = [first["what"], first["agent"], interval(score(runs)), evidence(runs)]
        line += [time_to_threshold(runs)] if timed else []
        line += [median_of(runs, "minutes", 1)]
        line += [median_of(runs, name) for name in ("env_steps", "steps_per_second", "peak_memory_mb")]
        threads = f", {count(int(first['threads']), 'thread')}" if first["threads"] else ""
        lines.append([*line, first["hardware"] + threads])
    return f"Task `{rows[0]['task']}` (fingerprint `{rows[0]['fingerprint']}`):\n\n{markdown(head, lines)}"


def median_of(rows: Sequence[Row], column: str, digits: int = 0) -> str:
    """Format the median of a column, empty cells ignored."""
    return median([float(row[column]) if row[column] else None for row in rows], digits)


def evidence(rows: Sequence[Row]) -> str:
    """Format runs and episodes: "3 runs (seeds 1 2 3), 60 episodes"."""
    seeds = " ".join(row["seed"] for row in by_seed(rows))
    episodes = sum(int(row["eval_episodes"]) for row in rows)
    return f"{count(len(rows), 'run')} ({plural(len(rows), 'seed')} {seeds}), {count(episodes, 'episode')}"


def time_to_threshold(rows: Sequence[Row]) -> str:
    """Format when the runs reached their threshold; "-" without one."""
    if not rows[0]["threshold"]:
        return "-"
    ordered = by_seed(rows)
    minutes, steps = ([float(row[f"{unit}_to_threshold"] or "inf") for row in ordered] for unit in ("minutes", "steps"))
    return time_to_score(minutes, steps)


def sentence(file: Path) -> str:
    """Describe the first recorded agent of a CSV: when it solved the task, its score, the evidence, the machine.

    Raises: ResultsError.
    """
    rows = read_runs(file)
    if not rows:
        raise ResultsError(f"{file} records no runs yet")
    runs = groups(rows, "fingerprint", "what", "agent", "hardware", "threshold")[0]
    first, estimate = runs[0], score(runs)
    seeds = ", ".join(row["seed"] for row in by_seed(runs))
    text = f"{first['agent']} on {first['env_id']} {_achievement(runs)}. Its final score is {number(estimate.value)},"
    text += f" the interquartile mean of {sum(int(row['eval_episodes']) for row in runs)} episodes"
    text += f" ({plural(len(runs), 'seed')} {seeds}; 95 % interval {number(estimate.low)} to {number(estimate.high)})."
    return f"{text} Measured on {first['hardware']}.\n"


def speed_sentence(file: Path) -> str:
    """Say how fast our agents are beside plain Stable-Baselines3, from the CSV of `agents.speed`.

    Raises: ResultsError.
    """
    medians = [row for row in read_checked(file)[1] if row["pair"] == "medians" and " / plain_sb3_" in row["agent"]]
    rows = [row for row in medians if not row["agent"].startswith("sb3_")]  # those are of our adapter
    if not rows:
        return "The speed of our agents beside plain Stable-Baselines3 is not recorded yet.\n"
    ratios = []
    for row in rows:
        agent, task = row["agent"].partition(" / ")[0], row["work"].partition(":")[0]
        ratios.append(f"{row['env_steps_per_second']} times ({agent}, {task})")
    faster = all(float(row["env_steps_per_second"]) > 1 for row in rows)
    text = "our agents run more steps per second than" if faster else "the steps per second of our agents relative to"
    return f"At equal work {text} plain Stable-Baselines3: {', '.join(ratios)}.\n"


def _achievement(runs: Sequence[Row]) -> str:
    """Say when runs reached their threshold: "reaches 18 points in 21 to 50 minutes on 2 cores (2 of 3 runs)"."""
    first = runs[0]
    cores = re.search(r"\d+ cores?", first["hardware"])
    machine = f" on {cores[0]}" if cores else ""
    if not first["threshold"]:
        return f"trains for {median_of(runs, 'minutes', 1)} minutes{machine} ({count(len(runs), 'run')})"
    times = [float(row["minutes_to_threshold"]) for row in runs if row["minutes_to_threshold"]]
    reached = f"({len(times)} of {count(len(runs), 'run')})"
    points = f"{float(first['threshold']):g} points"
    if not times:
        return f"does not reach {points} in {median_of(runs, 'minutes')} minutes{machine} {reached}"
    return f"reaches {points} in {_range_of_minutes(times)}{machine} {reached}"


def _range_of_minutes(times: Sequence[float]) -> str:
    """Format times as "21 to 50 minutes", "4 to 20 seconds" or "30 s to 1.5 min"."""
    low, high = min(times), max(times)
    if low < 1 <= high:
        return f"{duration(low)} to {duration(high)}"
    scale, unit = (60.0, "second") if high < 1 else (1.0, "minute")
    first, last = round(scale * low), round(scale * high)
    return count(first, unit) if first == last else f"{first} to {count(last, unit)}"


def _plain_table(file: Path, rows: Sequence[Row]) -> str:
    """Format all rows; what is the same in all of them is stated below the table, provenance is left in the CSV."""
    if not rows:
        return "No rows yet.\n"
    common = [name for name in STATED_ONCE if len({row.get(name) for row in rows}) == 1 and rows[0].get(name)]
    shown = [name for name in rows[0] if name not in (*PROVENANCE, *common)]
    notes = [f"{name.capitalize()}: {rows[0][name]}." for name in common]
    notes.append(f"Commit, date and command of every row: `results/{file.name}`.")
    return markdown(shown, [[row[name] for name in shown] for row in rows]) + f"\n{' '.join(notes)}\n"


def _speed_ratios(rows: Sequence[Row]) -> list[Row]:
    """Merge rows measured in interleaved pairs, a row per matchup: medians [slowest, fastest], their ratio [range]."""
    merged = []
    for row in (row for row in rows if row["pair"] == "medians"):
        line = {"A / B": row["agent"], "work": row["work"]}
        same = [other for other in rows if all(other[key] == row[key] for key in ("work", "hardware", "threads"))]
        for side, agent in zip("AB", row["agent"].split(" / "), strict=True):
            speeds = [float(run["env_steps_per_second"]) for run in same if run["agent"] == agent]
            line[f"{side}, env steps/s"] = with_range(float(np.median(speeds)), min(speeds), max(speeds), ",.0f")
        ends = {run["pair"]: run["env_steps_per_second"] for run in same if run["agent"] == row["agent"]}
        range_ = f" [{ends['lowest']}, {ends['highest']}]" if "lowest" in ends else ""  # older rows have none
        line |= {"ratio of medians": row["env_steps_per_second"] + range_, "pairs": str(len(speeds))}
        merged.append(line | {key: row[key] for key in ("threads", "hardware")})
    return merged
