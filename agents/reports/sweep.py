"""A study of hyper-parameters as plain rows: what figures, pages, tables and the ledger of sweeps are made from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agents.reports.format import markdown
from agents.reports.provenance import provenance_of_command
from agents.reports.store import Row, read_csv
from rl_gen_lab.cli.wording import count

KEY = ("study", "trial")
SECTION = (
    *("study", "complete / pruned / failed", "minutes of runs", "first score", "best score", "best settings"),
    "hardware",
)


@dataclass(frozen=True)
class TrialRecord:
    """A trial of a study that has ended."""

    # Its place in the study, from 0.
    number: int
    # complete, pruned or failed.
    state: str
    # The score that is maximized; of a pruned trial its last comparison; None where there is none.
    score: float | None
    # Values of the searched settings.
    settings: Mapping[str, Any]
    # Scores of its runs, by seed.
    scores: Sequence[float] = ()
    # Score by the steps (vision models: epochs) after which it was compared.
    curve: Mapping[int, float] = field(default_factory=dict)
    # Steps and seconds of all its runs.
    steps: float = 0.0
    seconds: float = 0.0
    # Why it failed, or was refused.
    error: str = ""
    # Columns of the ledger that say where it was made: hardware, commit, date.
    made: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class StudyRecord:
    """A study, its trials in order."""

    name: str
    # The command that was tuned.
    command: str
    # Names of the searched settings, and of those the numbers that are searched by their logarithm.
    settings: Sequence[str]
    logarithmic: frozenset[str]
    trials: Sequence[TrialRecord]
    # How much each setting decides whether a trial is among the better ones; empty where too few are complete.
    importance: Mapping[str, float]
    # Seeds of the runs of a trial.
    seeds: Sequence[int]
    # What the steps of a run are: "steps" or "epochs".
    unit: str = "steps"

    @property
    def best(self) -> TrialRecord | None:
        """The complete trial with the highest score."""
        complete = [trial for trial in self.trials if trial.state == "complete" and trial.score is not None]
        return max(complete, key=lambda trial: trial.score or 0.0, default=None)

    def of_state(self, state: str) -> list[TrialRecord]:
        """Return the trials in a state."""
        return [trial for trial in self.trials if trial.state == state]


def sentence(study: StudyRecord) -> str:
    """Describe a study in a line."""
    states = ", ".join(f"{len(study.of_state(state))} {state}" for state in ("complete", "pruned", "failed"))
    seconds = sum(trial.seconds for trial in study.trials)
    steps = sum(trial.steps for trial in study.trials)
    words = (
        f"{count(len(study.trials), 'trial')} ({states}), {steps:,.0f} {study.unit} in {seconds / 60:,.0f} min of runs"
    )
    best = study.best
    return words if best is None else f"{words}; best {best.score:.4g} by trial {best.number}"


def columns(study: StudyRecord) -> list[str]:
    """Return the names of the columns of `table`."""
    return ["trial", "state", "score", "by seed", *study.settings, study.unit, "minutes", "error"]


def table(study: StudyRecord) -> list[list[str]]:
    """Return a row of text for each trial, the best first, pruned and failed ones last."""
    order = {"complete": 0, "pruned": 1, "failed": 2}

    def rank(trial: TrialRecord) -> tuple[int, float]:
        return order[trial.state], -(trial.score if trial.score is not None else float("-inf"))

    rows = []
    for trial in sorted(study.trials, key=rank):
        score = "" if trial.score is None else f"{trial.score:.4g}"
        settings = [in_words(trial.settings.get(name, "")) for name in study.settings]
        cost = [f"{trial.steps:,.0f}", f"{trial.seconds / 60:.1f}"]
        by_seed = " ".join(f"{value:.4g}" for value in trial.scores)
        rows.append([str(trial.number), trial.state, score, by_seed, *settings, *cost, trial.error])
    return rows


def in_words(value: Any) -> str:
    """Format the value of a setting."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def rows_of(study: StudyRecord) -> list[Row]:
    """Return the rows of results/sweeps.csv: one for each trial."""
    provenance = provenance_of_command("agents.sweep")
    rows = []
    for trial in study.trials:
        rows.append(
            {
                "study": study.name,
                "trial": str(trial.number),
                "tuned": study.command,
                "state": trial.state,
                "score": "" if trial.score is None else f"{trial.score:.4f}",
                "seeds": " ".join(map(str, study.seeds)),
                "scores": " ".join(f"{value:.4f}" for value in trial.scores),
                "settings": json.dumps(dict(trial.settings)),
                "steps": f"{trial.steps:.0f}",
                "minutes": f"{trial.seconds / 60:.2f}",
                "error": trial.error,
                **(provenance | dict(trial.made)),
            }
        )
    return rows


def section(file: Path) -> str:
    """Return a table of the recorded studies: their trials, their first and their best score, the best settings."""
    _, rows = read_csv(file)
    studies: dict[str, list[Row]] = {}
    for row in rows:
        studies.setdefault(row["study"], []).append(row)
    lines = []
    for name, trials in studies.items():
        complete = [row for row in trials if row["state"] == "complete"]
        states = [sum(row["state"] == state for row in trials) for state in ("complete", "pruned", "failed")]
        minutes = sum(float(row["minutes"]) for row in trials)
        line = [name, " / ".join(map(str, states)), f"{minutes:.0f}"]
        if complete:
            best = max(complete, key=lambda row: float(row["score"]))
            first = min(complete, key=lambda row: int(row["trial"]))
            settings = ", ".join(f"{key} {in_words(value)}" for key, value in json.loads(best["settings"]).items())
            scores = [f"{float(row['score']):.4g} (trial {row['trial']})" for row in (first, best)]
            line += [*scores, settings, best["hardware"]]
        lines.append([*line, *[""] * (len(SECTION) - len(line))])
    return markdown(SECTION, lines)
