"""A comparison of groups of runs: summaries, ranking, caveats, and all of it as JSON.

Every number comes with the runs and episodes that it was computed from.
"""

import dataclasses
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from agents.reports.curves import (
    Axis,
    Crossing,
    Curve,
    band,
    evaluation_curve,
    first_crossing,
    median_crossing,
    training_curve,
)
from agents.reports.grouping import check_comparable, group_runs
from agents.reports.run_record import RunRecord
from agents.reports.statistics import Estimate, difference_interval, score_interval, stratified_interval
from agents.reports.tasks import thresholds_for

# Properties of RunRecord in comparison.json.
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
CurveName = Literal["evaluation", "training"]
CURVES: tuple[CurveName, ...] = ("evaluation", "training")
AXES: tuple[Axis, ...] = ("steps", "minutes")
# Wall-clock times that differ by more than this factor are worth a caveat.
SIMILAR_MINUTES = 1.2


@dataclass(frozen=True)
class Group:
    """The runs of an agent with the same configuration."""

    label: str
    runs: list[RunRecord]
    training: list[Curve]
    evaluation: list[Curve]
    # Over the final evaluations' episodes; None when no run has any.
    score: Estimate | None
    # The same score with only the episodes of these runs resampled.
    score_of_these_runs: Estimate | None
    # By score to reach: a crossing per run.
    crossings: dict[float, list[Crossing | None]]

    def curves(self, name: CurveName) -> list[Curve]:
        """Return a curve per run."""
        return self.evaluation if name == "evaluation" else self.training

    @property
    def returns(self) -> list[list[float]]:
        """Returns of the final evaluations' episodes, a list for each run that has any."""
        return [run.final_returns for run in self.runs if run.final_returns]


@dataclass(frozen=True)
class Comparison:
    """Groups that may be ranked, best first, with the caveats of the ranking."""

    env_id: str
    fingerprint: dict[str, Any]
    created: str
    groups: list[Group]
    # (better, worse, interquartile mean of better minus that of worse) for neighbors in the ranking.
    differences: list[tuple[str, str, Estimate]]
    caveats: list[str]


def compare_runs(runs: Sequence[RunRecord], thresholds: Sequence[float] = ()) -> Comparison:
    """Summarize and rank runs of the same task.

    Args:
        runs: at least one.
        thresholds: scores to time; empty: those known for the environment.

    Raises:
        IncomparableRunsError: the task fingerprints differ.
    """
    check_comparable(runs)
    first = runs[0]
    scores = tuple(thresholds) or thresholds_for(first.env_id)
    groups = [_summarize(label, members, scores) for label, members in group_runs(runs).items()]
    groups.sort(key=lambda group: -group.score.value if group.score else math.inf)
    differences = []
    for better, worse in pairwise(group for group in groups if group.score):
        gap = difference_interval(better.returns, worse.returns)
        differences.append((better.label, worse.label, gap))
    created = time.strftime("%Y-%m-%d %H:%M")
    return Comparison(first.env_id, first.fingerprint, created, groups, differences, caveats(groups))


def _summarize(label: str, runs: list[RunRecord], scores: Sequence[float]) -> Group:
    evaluation = [evaluation_curve(run) for run in runs]
    returns = [run.final_returns for run in runs if run.final_returns]
    return Group(
        label=label,
        runs=runs,
        training=[training_curve(run) for run in runs],
        evaluation=evaluation,
        score=score_interval(returns) if returns else None,
        score_of_these_runs=stratified_interval(returns) if returns else None,
        crossings={score: [first_crossing(curve, score) for curve in evaluation] for score in scores},
    )


def caveats(groups: Sequence[Group]) -> list[str]:
    """Return what weakens the ranking, a sentence each."""
    runs = [run for group in groups for run in group.runs]
    notes = [f"{run.name} is not finished (status: {run.status})." for run in runs if run.status != "finished"]
    notes += [
        f"{run.name} has no final evaluation and does not count in the score." for run in runs if not run.final_returns
    ]
    for group in groups:
        if len(group.runs) == 1:
            notes.append(f"{group.label}: one run; its intervals are over episodes and say nothing about other seeds.")
        seeds = [run.seed for run in group.runs]
        if len(set(seeds)) < len(seeds):
            notes.append(f"{group.label}: seeds {seeds} repeat; runs of one seed are not independent evidence.")
    for what, values in {
        "hardware": [run.hardware for run in runs],
        "threads": [str(run.threads) for run in runs],
        "commit": [str(run.config.get("commit"))[:10] for run in runs],
        "versions": [str(sorted((run.config.get("versions") or {}).items())) for run in runs],
    }.items():
        if len(set(values)) > 1:
            notes.append(f"{what} differ between runs: {' / '.join(dict.fromkeys(values))}.")
    for key in ("episodes", "epsilon", "max_episode_frames"):
        rules = {
            str(((run.result.get("final_eval") or {}).get("protocol") or {}).get(key))
            for run in runs
            if run.final_returns
        }
        if len(rules) > 1:
            notes.append(f"final evaluations were made by different rules: {key} {' vs '.join(sorted(rules))}.")
    minutes = [run.minutes for run in runs]
    if max(minutes) > SIMILAR_MINUTES * min(minutes):
        notes.append(f"runs had different wall-clock time: {min(minutes):.1f} to {max(minutes):.1f} minutes.")
    return notes


def to_json(comparison: Comparison) -> dict[str, Any]:
    """Return everything that the page shows as plain values; infinite and unknown numbers are None."""
    differences = [{"better": a, "worse": b, **dataclasses.asdict(gap)} for a, b, gap in comparison.differences]
    values = {
        "env_id": comparison.env_id,
        "created": comparison.created,
        "fingerprint": comparison.fingerprint,
        "groups": [_group_to_json(group) for group in comparison.groups],
        "differences": differences,
        "caveats": comparison.caveats,
    }
    return {key: finite(value) for key, value in values.items()}


def _group_to_json(group: Group) -> dict[str, Any]:
    times = {}
    for score, crossings in group.crossings.items():
        steps, minutes = median_crossing(crossings)
        per_run = [crossing and dataclasses.asdict(crossing) for crossing in crossings]
        times[f"{score:g}"] = {"median_steps": steps, "median_minutes": minutes, "runs": per_run}
    curves = {}
    for name in CURVES:
        for axis in AXES:
            summary = dataclasses.asdict(band(group.curves(name), axis))
            curves[f"{name}_by_{axis}"] = {
                key: value.tolist() if isinstance(value, np.ndarray) else value for key, value in summary.items()
            }
    return {
        "agent": group.label,
        "score": group.score and dataclasses.asdict(group.score),
        "score_of_these_runs": group.score_of_these_runs and dataclasses.asdict(group.score_of_these_runs),
        "time_to_score": times,
        "curves": curves,
        "runs": [{name: getattr(run, name) for name in RUN_FIELDS} for run in group.runs],
    }


def finite(value: Any) -> Any:
    """Return a nested value with None for NaN and infinities, which JSON cannot hold."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
