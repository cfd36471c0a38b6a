"""The tables and verdicts of a comparison, as text."""

import math
from typing import Any

import numpy as np

from agents.reports.comparison import Comparison, Group
from agents.reports.curves import Curve
from agents.reports.format import interval, median_and_range, number, time_to_score
from agents.reports.run_record import RunRecord

TextTable = tuple[list[str], list[list[str]]]  # column names and rows of text


def score_table(comparison: Comparison) -> TextTable:
    """Format a row per group, best first."""
    scores = list(dict.fromkeys(score for group in comparison.groups for score in group.crossings))
    columns = ["agent", "final score: IQM [95 % interval]", "runs", "episodes", "interval over"]
    columns += [f"to {score:g}: median" for score in scores]
    columns += ["env steps", "minutes", "env steps/s", "peak memory MB"]
    rows = []
    for group in comparison.groups:
        estimate, runs = group.score, group.runs
        evidence = [str(estimate.episodes), estimate.over] if estimate else ["0", "-"]
        row = [group.label, interval(estimate), str(len(runs)), *evidence]
        row += [_time_to(group, score) if score in group.crossings else "-" for score in scores]
        row += [median_and_range([run.env_steps for run in runs]), median_and_range([run.minutes for run in runs], 1)]
        row += [median_and_range([run.steps_per_second for run in runs])]
        row += [median_and_range([run.peak_memory_mb for run in runs])]
        rows.append(row)
    return columns, rows


def _time_to(group: Group, score: float) -> str:
    pairs = sorted(zip(group.runs, group.crossings[score], strict=True), key=lambda pair: pair[0].seed)
    crossings = [crossing for _, crossing in pairs]
    minutes = [math.inf if crossing is None else crossing.minutes for crossing in crossings]
    steps = [math.inf if crossing is None else float(crossing.steps) for crossing in crossings]
    return time_to_score(minutes, steps)


def run_table(comparison: Comparison) -> TextTable:
    """Format a row per run."""
    columns = ["run", "agent", "seed", "status", "final mean ± std (episodes)", "best evaluation", "env steps"]
    columns += ["updates", "minutes", "env steps/s", "peak MB", "threads", "hardware", "commit", "command"]
    rows = []
    for group in comparison.groups:
        for run, curve in zip(group.runs, group.evaluation, strict=True):
            row: list[Any] = [run.name, group.label, run.seed, run.status, _final(run), _best(curve)]
            row += [f"{run.env_steps:,}", number(run.updates, 0), number(run.minutes)]
            row += [number(run.steps_per_second, 0), number(run.peak_memory_mb, 0)]
            row += [run.threads if run.threads is not None else "-", run.hardware]
            row += [str(run.config.get("commit") or "-")[:10], " ".join(map(str, run.config.get("command") or []))]
            rows.append([str(cell) for cell in row])
    return columns, rows


def _final(run: RunRecord) -> str:
    returns = run.final_returns
    return f"{np.mean(returns):.1f} ± {np.std(returns):.1f} ({len(returns)})" if returns else "-"


def _best(curve: Curve) -> str:
    if not len(curve):
        return "-"
    best = int(np.argmax(curve.values))
    return f"{curve.values[best]:.1f} at {curve.steps[best]:,.0f} steps"


def verdicts(comparison: Comparison) -> list[str]:
    """Return a sentence per pair of neighbors in the ranking, which says whether the interval contains zero."""
    sentences = []
    for better, worse, gap in comparison.differences:
        points = f"{gap.value:.1f} points (95 % interval {gap.low:.1f} to {gap.high:.1f}, over {gap.over})"
        if gap.low > 0:
            sentences.append(f"{better} is ahead of {worse} by {points}.")
        else:
            sentences.append(f"{better} and {worse} cannot be told apart: the difference is {points}.")
    return sentences
