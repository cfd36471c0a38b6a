"""Figures of a study: scores as trials end, importance of the settings, parallel coordinates."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from agents.reports.figure import COLORS
from agents.reports.sweep import StudyRecord, TrialRecord, in_words
from rl_gen_lab.runs.files import replace_file

PALE = "#bbbbbb"
MOST_TICKS = 8


def write_figures(study: StudyRecord, folder: Path) -> list[Path]:
    """Draw history.png, curves.png, parallel.png and, where it is known, importance.png. Raises: SaveError."""
    drawn = [("history", _draw_history), ("curves", _draw_curves), ("parallel", _draw_parallel)]
    if study.importance:
        drawn.append(("importance", _draw_importance))
    files = []
    for name, draw in drawn:
        file = folder / f"{name}.png"
        figure = draw(study)
        replace_file(file, lambda new, figure=figure: figure.savefig(new, format="png", dpi=120))  # type: ignore[misc]
        files.append(file)
    return files


def _figure(width: float, height: float) -> Any:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _draw_history(study: StudyRecord) -> Any:
    """Draw the score of each trial, and the best so far."""
    figure = _figure(8, 4)
    axes = figure.subplots()
    for state, color, marker in (("complete", COLORS[0], "o"), ("pruned", PALE, "x")):
        trials = [trial for trial in study.of_state(state) if trial.score is not None]
        axes.plot([t.number for t in trials], [t.score for t in trials], marker, color=color, label=state, markersize=5)
    complete = sorted(study.of_state("complete"), key=lambda trial: trial.number)
    scores = [trial.score for trial in complete if trial.score is not None]
    if scores:
        axes.step(
            [t.number for t in complete],
            np.maximum.accumulate(scores),
            where="post",
            color=COLORS[1],
            label="best so far",
        )
    axes.set_xlabel("trial")
    axes.set_ylabel("score (pruned: when it was ended)")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend()
    axes.grid(alpha=0.3)
    return figure


def _draw_curves(study: StudyRecord) -> Any:
    """Draw the scores of trials by steps, at which they were compared."""
    figure = _figure(8, 4)
    axes = figure.subplots()
    best = study.best
    for trial in study.trials:
        if not trial.curve:
            continue
        chosen, pruned = trial is best, trial.state == "pruned"
        color = COLORS[1] if chosen else PALE if pruned else COLORS[0]
        label = f"trial {trial.number}, the best" if chosen else None
        steps = sorted(trial.curve)
        width = 2.2 if chosen else 1.0
        axes.plot(
            steps, [trial.curve[s] for s in steps], color=color, linewidth=width, zorder=3 if chosen else 2, label=label
        )
        if pruned:
            axes.plot(steps[-1], trial.curve[steps[-1]], "x", color=PALE, markersize=5)
    axes.set_xlabel(f"{study.unit} of each run")
    axes.set_ylabel("evaluation score, over seeds (x: pruned)")
    if best is not None and best.curve:
        axes.legend()
    axes.grid(alpha=0.3)
    return figure


def _draw_importance(study: StudyRecord) -> Any:
    names = sorted(study.importance, key=lambda name: study.importance[name])
    figure = _figure(7, 1.2 + 0.4 * len(names))
    axes = figure.subplots()
    axes.barh(names, [study.importance[name] for name in names], color=COLORS[0])
    axes.set_xlabel(f"importance (PED-ANOVA, {len(study.of_state('complete'))} complete trials)")
    axes.grid(axis="x", alpha=0.3)
    return figure


class Axis:
    """An axis of the parallel coordinates: where the values of a setting lie between 0 and 1, and its ticks."""

    def __init__(self, name: str, values: Sequence[Any], logarithmic: bool) -> None:
        self.name = name
        numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
        self._known: list[str] | None = None
        self._log = logarithmic
        if len(numbers) < len(values) or len(set(numbers)) < 2:
            distinct = set(values) if len(numbers) == len(values) else set(map(str, values))
            self._known = [str(value) for value in sorted(distinct)]
        elif len(set(numbers)) <= MOST_TICKS and all(isinstance(value, int) for value in numbers) and not logarithmic:
            self._low, self._high = float(min(numbers)), float(max(numbers))
        else:
            self._low, self._high = self._scaled(min(numbers)), self._scaled(max(numbers))
        self.ticks = self._ticks(numbers)

    def _scaled(self, value: float) -> float:
        return float(np.log(value)) if self._log else float(value)

    def at(self, value: Any) -> float:
        """Return the height of a value, from 0 to 1."""
        if self._known is not None:
            return self._known.index(str(value)) / max(len(self._known) - 1, 1) if len(self._known) > 1 else 0.5
        return (self._scaled(value) - self._low) / (self._high - self._low)

    def _ticks(self, numbers: Sequence[float]) -> list[tuple[float, str]]:
        """Return heights and labels: every one of few values, else five between the ends."""
        if self._known is not None:
            return [(self.at(word), word) for word in self._known]
        if len(set(numbers)) <= MOST_TICKS and all(isinstance(value, int) for value in numbers):
            return [(self.at(value), in_words(value)) for value in sorted(set(numbers))]
        heights = np.linspace(0, 1, 5)
        values = self._low + heights * (self._high - self._low)
        return [(float(h), f"{np.exp(v) if self._log else v:.3g}") for h, v in zip(heights, values, strict=True)]


def axes_of(study: StudyRecord) -> tuple[list[Axis], list[TrialRecord]]:
    """Return the axes, that of the score last, and the trials to draw, the best last."""
    trials = [
        t
        for t in study.trials
        if t.score is not None and t.state == "complete" and set(study.settings) <= set(t.settings)
    ]
    trials.sort(key=lambda trial: trial.score or 0.0)
    axes = [Axis(name, [t.settings[name] for t in trials], name in study.logarithmic) for name in study.settings]
    return [*axes, Axis("score", [t.score for t in trials], False)], trials


def heights_of(axes: Sequence[Axis], trial: TrialRecord) -> list[float]:
    """Return the heights of a trial on the axes, from 0 to 1."""
    return [axis.at(trial.settings[axis.name]) for axis in axes[:-1]] + [axes[-1].at(trial.score)]


def _draw_parallel(study: StudyRecord) -> Any:
    from matplotlib import colormaps

    axes, trials = axes_of(study)
    figure = _figure(1.6 + 1.35 * len(axes), 4.6)
    plot = figure.subplots()
    for rank, trial in enumerate(trials):
        best = rank == len(trials) - 1
        color = COLORS[1] if best else colormaps["viridis_r"](rank / max(len(trials) - 1, 1))
        plot.plot(
            range(len(axes)),
            heights_of(axes, trial),
            color=color,
            linewidth=2.4 if best else 1.0,
            alpha=1 if best else 0.7,
        )
    for x, axis in enumerate(axes):
        plot.axvline(x, color="black", linewidth=0.8)
        for height, word in axis.ticks:
            plot.annotate(word, (x, height), xytext=(3, 0), textcoords="offset points", fontsize=7, va="center")
    plot.set_xticks(
        range(len(axes)),
        [axis.name.replace("_", "_\n", 1) if len(axis.name) > 14 else axis.name for axis in axes],
        fontsize=8,
    )
    plot.set_yticks([])
    plot.set_xlim(-0.1, len(axes) - 0.55)
    plot.set_title(f"{study.name}: {len(trials)} complete trials, darker is better, the best in orange", fontsize=10)
    for side in ("top", "left", "right", "bottom"):
        plot.spines[side].set_visible(False)
    return figure
