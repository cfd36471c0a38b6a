"""A comparison of groups of runs: its tables, verdicts and JSON. `report_figure` draws it, `report_page` shows it.

Every number stands beside the runs and episodes it was made from.
"""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from agents.reports.curves import (
    Axis,
    Crossing,
    Curve,
    RunRecord,
    band,
    median_crossing,
)
from agents.reports.statistics import Estimate

# What comparison.json tells of each run: properties of RunRecord.
RUN_FIELDS = (
    "name",
    "seed",
    "status",
    "final_returns",
    "env_steps",
    "updates",
    "minutes",
    "steps_per_second",
    "peak_memory_mb",
    "threads",
    "hardware",
)
Kind = Literal["evaluation", "training"]
KINDS: tuple[Kind, ...] = ("evaluation", "training")
AXES: tuple[Axis, ...] = ("steps", "minutes")


@dataclass(frozen=True)
class Group:
    """The runs of one agent with one configuration."""

    label: str
    runs: list[RunRecord]
    training: list[Curve]
    evaluation: list[Curve]
    # Over the final evaluations' episodes; None when no run has any.
    score: Estimate | None
    # The same score with only these runs' episodes resampled.
    measured: Estimate | None
    # Per score to reach: one crossing per run.
    crossings: dict[float, list[Crossing | None]]

    def curves(self, kind: Kind) -> list[Curve]:
        """One curve per run."""
        return self.evaluation if kind == "evaluation" else self.training


@dataclass(frozen=True)
class Comparison:
    """Groups that may be ranked, best first, and what a reader must know before believing the ranking."""

    env_id: str
    fingerprint: dict[str, Any]
    created: str
    groups: list[Group]
    # (better, worse, interquartile mean of better minus that of worse) for neighbours of the ranking.
    differences: list[tuple[str, str, Estimate]]
    caveats: list[str]


def number(value: float | None, digits: int = 1) -> str:
    """A number for people: "12.3", "-" for none, "never" for infinity."""
    if value is None or math.isnan(value):
        return "-"
    return "never" if math.isinf(value) else f"{value:,.{digits}f}"


def interval(estimate: Estimate | None) -> str:
    """ "19.8 [19.1, 20.3]"."""
    if estimate is None:
        return "no final evaluation"
    return f"{estimate.value:.1f} [{estimate.low:.1f}, {estimate.high:.1f}]"


def crossing_text(crossings: Sequence[Crossing | None]) -> str:
    """Median steps and minutes to a score and how many runs reached it."""
    reached = sum(crossing is not None for crossing in crossings)
    steps, minutes = median_crossing(crossings)
    if math.isinf(steps):
        return f"not reached ({reached} of {len(crossings)} runs)"
    return f"{steps:,.0f} steps, {minutes:.1f} min ({reached} of {len(crossings)} runs)"


def _spread(values: Sequence[float | None], digits: int = 0) -> str:
    """Median and range over runs: "812 (640 to 990)"."""
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    middle, low, high = (number(float(value), digits) for value in (np.median(known), min(known), max(known)))
    return middle if low == high else f"{middle} ({low} to {high})"


def score_table(comparison: Comparison) -> tuple[list[str], list[list[str]]]:
    """Column names and one row of text per group, best first."""
    scores = list(dict.fromkeys(score for group in comparison.groups for score in group.crossings))
    columns = ["agent", "final score: IQM [95 % interval]", "runs", "episodes", "interval over"]
    columns += [f"to {score:g}: median" for score in scores]
    columns += ["env steps", "minutes", "env steps/s", "peak memory MB"]
    rows = []
    for group in comparison.groups:
        score = group.score
        evidence = [str(score.episodes), score.over] if score else ["0", "-"]
        row = [group.label, interval(score), str(len(group.runs)), *evidence]
        row += [crossing_text(group.crossings[value]) if value in group.crossings else "-" for value in scores]
        row += [
            _spread([run.env_steps for run in group.runs]),
            _spread([run.minutes for run in group.runs], 1),
        ]
        row += [_spread([run.steps_per_second for run in group.runs])]
        row += [_spread([run.peak_memory_mb for run in group.runs])]
        rows.append(row)
    return columns, rows


def run_table(comparison: Comparison) -> tuple[list[str], list[list[str]]]:
    """Column names and one row of text per run."""
    columns = [
        "run",
        "agent",
        "seed",
        "status",
        "final mean ± std (episodes)",
        "best evaluation",
        "env steps",
    ]
    columns += ["updates", "minutes", "env steps/s", "peak MB", "threads", "hardware", "commit", "command"]
    rows = []
    for group in comparison.groups:
        for run, curve in zip(group.runs, group.evaluation, strict=True):
            returns = run.final_returns
            final = f"{np.mean(returns):.1f} ± {np.std(returns):.1f} ({len(returns)})" if returns else "-"
            best = "-"
            if len(curve):
                top = int(np.argmax(curve.values))
                best = f"{curve.values[top]:.1f} at {curve.steps[top]:,.0f} steps"
            row: list[Any] = [run.name, group.label, run.seed, run.status, final, best, f"{run.env_steps:,}"]
            row += [number(run.updates, 0), number(run.minutes), number(run.steps_per_second, 0)]
            row += [
                number(run.peak_memory_mb, 0),
                run.threads if run.threads is not None else "-",
                run.hardware,
            ]
            row += [
                str(run.config.get("commit") or "-")[:10],
                " ".join(map(str, run.config.get("command") or [])),
            ]
            rows.append([str(cell) for cell in row])
    return columns, rows


def verdicts(comparison: Comparison) -> list[str]:
    """One sentence per pair of neighbours in the ranking; it says so when the interval contains zero."""
    sentences = []
    for better, worse, gap in comparison.differences:
        span = f"{gap.value:.1f} points (95 % interval {gap.low:.1f} to {gap.high:.1f}, over {gap.over})"
        if gap.low > 0:
            sentences.append(f"{better} is ahead of {worse} by {span}.")
        else:
            sentences.append(f"{better} and {worse} cannot be told apart: the difference is {span}.")
    return sentences


def to_json(comparison: Comparison) -> dict[str, Any]:
    """Everything that the page shows as plain values; infinite and unknown numbers are None."""
    groups = []
    for group in comparison.groups:
        times = {}
        for score, crossings in group.crossings.items():
            steps, minutes = median_crossing(crossings)
            per_run = [crossing and dataclasses.asdict(crossing) for crossing in crossings]
            times[f"{score:g}"] = {"median_steps": steps, "median_minutes": minutes, "runs": per_run}
        curves = {}
        for kind in KINDS:
            for axis in AXES:
                summary = dataclasses.asdict(band(group.curves(kind), axis))
                curves[f"{kind}_by_{axis}"] = {
                    key: value.tolist() if isinstance(value, np.ndarray) else value for key, value in summary.items()
                }
        runs = [{name: getattr(run, name) for name in RUN_FIELDS} for run in group.runs]
        groups.append(
            {
                "agent": group.label,
                "score": group.score and dataclasses.asdict(group.score),
                "score_of_these_runs": group.measured and dataclasses.asdict(group.measured),
                "time_to_score": times,
                "curves": curves,
                "runs": runs,
            }
        )
    differences = [{"better": a, "worse": b, **dataclasses.asdict(gap)} for a, b, gap in comparison.differences]
    top: dict[str, Any] = {"env_id": comparison.env_id, "created": comparison.created}
    top |= {
        "fingerprint": comparison.fingerprint,
        "groups": groups,
        "differences": differences,
        "caveats": comparison.caveats,
    }
    return {key: finite(value) for key, value in top.items()}


def finite(value: Any) -> Any:
    """The same nested value with NaN and infinities as None, which JSON can hold."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
