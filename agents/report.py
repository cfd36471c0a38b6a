"""A comparison as one figure, one JSON file and one self-contained HTML page (images and videos inside).

Every number stands beside the runs and episodes it was made from.
"""

import base64
import dataclasses
import html
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter

from agents.learning_curves import (
    THRESHOLD_EPISODES,
    WINDOW,
    Axis,
    Crossing,
    Curve,
    RunRecord,
    band,
    median_crossing,
)
from agents.statistics import Estimate, interquartile_mean

# Okabe and Ito 2008: eight colours that stay apart for every common kind of colour vision.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
# Line styles repeat with another period than colours, so that grey prints stay readable.
STYLES = ("-", "--", "-.", ":")
MARKERS = ("o", "s", "D", "^", "v")
LARGEST_VIDEO_BYTES = 8_000_000
# Up to so many points a curve shows them with markers.
FEW_POINTS = 30
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


# ------------------------------------------------------------------------------------------------ the figure


def _look(index: int) -> dict[str, Any]:
    """Colour, line style and marker of the group with this place in the ranking."""
    styles = {"color": COLOURS, "linestyle": STYLES, "marker": MARKERS}
    return {name: choices[index % len(choices)] for name, choices in styles.items()}


def _draw_curves(axes: Axes, groups: Sequence[Group], kind: Kind, axis: Axis) -> None:
    for index, group in enumerate(groups):
        look = _look(index)
        curves = group.curves(kind)
        if len(curves) > 1:
            for curve in curves:
                thin = {"color": look["color"], "alpha": 0.3, "linewidth": 0.7, "markersize": 4}
                axes.plot(curve.axis(axis), curve.values, marker="." if len(curve) <= FEW_POINTS else "", **thin)
        summary = band(curves, axis)
        # Markers show where evaluations were made, so only where all runs made them at the same places.
        places = summary.x.size <= min(FEW_POINTS, max((len(curve) for curve in curves), default=0))
        axes.fill_between(summary.x, summary.low, summary.high, color=look["color"], alpha=0.18, linewidth=0)
        axes.plot(
            summary.x,
            summary.value,
            linewidth=1.8,
            markersize=3.5,
            **look | ({} if places else {"marker": ""}),
        )


def _draw_scores(axes: Axes, groups: Sequence[Group]) -> None:
    """Each episode, each run's interquartile mean, and the group's with its interval, one line per group."""
    jitter = np.random.default_rng(0)
    for index, group in enumerate(groups):
        look = _look(index)
        colour = look["color"]
        for run in group.runs:
            returns = np.asarray(run.final_returns)
            if not returns.size:
                continue
            heights = index + 0.22 + jitter.uniform(-0.08, 0.08, returns.size)
            axes.scatter(returns, heights, s=7, color=colour, alpha=0.35, linewidths=0)
            axes.scatter(interquartile_mean(returns), index + 0.22, s=30, color="white", edgecolors=colour, zorder=3)
        if group.score:
            reach = [[group.score.value - group.score.low], [group.score.high - group.score.value]]
            axes.errorbar(group.score.value, index - 0.16, xerr=np.abs(reach), capsize=4, **look)
    axes.set_yticks(range(len(groups)), [f"{g.label} (n={len(g.runs)})" for g in groups])
    axes.set_ylim(len(groups) - 0.4, -0.6)
    axes.set_xlabel("Final evaluation return: dots are episodes, open circles runs, bars the IQM with 95 % interval")


def write_figure(comparison: Comparison, file: Path) -> None:
    """Learning curves by steps and by minutes, and the final scores, as PNG.

    Args:
        comparison: what to draw.
        file: where; its folder exists.
    """
    groups = comparison.groups
    kinds = [kind for kind in KINDS if any(len(curve) for group in groups for curve in group.curves(kind))]
    figure = Figure(figsize=(10.0, 3.1 * len(kinds) + 1.5 + 0.45 * len(groups)), layout="constrained")
    heights = [3.1] * len(kinds) + [0.9 + 0.45 * len(groups)]
    grid = figure.add_gridspec(len(kinds) + 1, 2, height_ratios=heights)
    titles: dict[Kind, str] = {
        "evaluation": "Evaluation return",
        "training": f"Training return\n(mean of the last {WINDOW} episodes)",
    }
    for row, kind in enumerate(kinds):
        left = figure.add_subplot(grid[row, 0])
        right = figure.add_subplot(grid[row, 1], sharey=left)
        for axes, axis in zip((left, right), AXES, strict=True):
            _draw_curves(axes, groups, kind, axis)
            low, high = axes.get_ylim()
            for score in [score for score in groups[0].crossings if low <= score <= high]:
                axes.axhline(score, color="#888888", linewidth=0.7, linestyle=(0, (2, 3)), zorder=0)
            axes.set_xlabel("Agent steps" if axis == "steps" else "Wall-clock minutes")
            axes.set_xlim(left=0)
        left.set_ylabel(titles[kind])
        left.xaxis.set_major_formatter(EngFormatter(sep=""))
        right.tick_params(labelleft=False)
    _draw_scores(figure.add_subplot(grid[len(kinds), :]), groups)
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="#e6e6e6", linewidth=0.6)
        axes.set_axisbelow(True)
    _legend(figure, groups, comparison.env_id)
    figure.savefig(file, dpi=160)


def _legend(figure: Figure, groups: Sequence[Group], title: str) -> None:
    handles = [
        Line2D([], [], label=f"{group.label} (n={len(group.runs)})", **_look(index))
        for index, group in enumerate(groups)
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=min(4, len(handles)), frameon=False, title=title)


# -------------------------------------------------------------------------------------------------- the page

STYLE = """
body{font:15px/1.5 system-ui,sans-serif;color:#1a1a1a;background:#fff;max-width:1180px;margin:2rem auto;
padding:0 1rem}
h1{font-size:1.5rem;margin:0}h2{font-size:1.1rem;margin:2.2rem 0 .5rem}img{max-width:100%}
.table{overflow-x:auto}table{border-collapse:collapse;font-size:13px;font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:.35rem .7rem;border-bottom:1px solid #ddd;vertical-align:top}
th{background:#f6f6f6}
td{white-space:nowrap}td.long{white-space:normal;min-width:8rem}
.muted{color:#555}.note{background:#fff7e0;padding:.6rem 1rem}
.films{display:flex;flex-wrap:wrap;gap:1rem}figure{margin:0;max-width:300px}video{width:100%;background:#000}
figcaption{font-size:13px;color:#555;overflow-wrap:anywhere}code{font-size:12px}
"""


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{html.escape(column)}</th>" for column in columns)
    body = ""
    for row in rows:
        cells = (f"<td{' class=long' if len(cell) > 24 else ''}>{html.escape(cell)}</td>" for cell in row)
        body += f"<tr>{''.join(cells)}</tr>\n"
    return f"<div class=table><table><thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table></div>"


def _list(sentences: Sequence[str]) -> str:
    return "<ul>" + "".join(f"<li>{html.escape(sentence)}</li>" for sentence in sentences) + "</ul>"


def _data(file: Path, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(file.read_bytes()).decode('ascii')}"


def _films(comparison: Comparison) -> str:
    """The newest video of each run, or a line that says why there is none."""
    figures = []
    for group in comparison.groups:
        for run in group.runs:
            files = sorted((run.folder / "videos").glob("*.mp4"), key=lambda file: (file.stat().st_mtime, file.name))
            caption = html.escape(f"{group.label}, seed {run.seed}: " + (files[-1].name if files else "no video"))
            film = ""
            if files and files[-1].stat().st_size > LARGEST_VIDEO_BYTES:
                caption += f" is too large to embed; it is in {html.escape(run.name)}/videos"
            elif files:
                source = _data(files[-1], "video/mp4")
                film = f'<video controls loop muted preload=metadata src="{source}"></video>'
            figures.append(f"<figure>{film}<figcaption>{caption}</figcaption></figure>")
    return f"<div class=films>{''.join(figures)}</div>"


def write_page(comparison: Comparison, figure: Path, file: Path) -> None:
    """One HTML file that needs nothing else: figure and videos are embedded, there is no script.

    Args:
        comparison: what to show.
        figure: the PNG of `write_figure`.
        file: where to write.
    """
    title = f"{comparison.env_id}: {' vs '.join(group.label for group in comparison.groups)}"
    task = comparison.fingerprint
    fields = [[str(key), str(value)] for key, value in (task.get("fields") or {}).items()]
    versions = sorted({json.dumps(r.config.get("versions") or {}) for g in comparison.groups for r in g.runs})
    notes = f"<div class=note><b>Read with care</b>{_list(comparison.caveats)}</div>" if comparison.caveats else ""
    page = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(title)}</title><style>{STYLE}</style></head><body>
<h1>{html.escape(title)}</h1>
<p class=muted>{html.escape(comparison.created)} · task {html.escape(str(task.get("text")))}
· fingerprint <code>{html.escape(str(task.get("hash")))}</code></p>
{_list(verdicts(comparison))}{notes}
<h2>Scores</h2>{_table(*score_table(comparison))}
<p class=muted>IQM: interquartile mean of all episodes of the final evaluations (the agent that a run
kept, on seeds not used before), returns unclipped. Intervals: percentile bootstrap; runs are resampled,
then episodes inside each drawn run; a single run can only be resampled over episodes. With fewer than
five runs read an interval as a lower bound of the doubt. A score counts as reached when evaluations
holding at least {THRESHOLD_EPISODES} episodes average it; median over runs, with how many reached it.
Speed, memory, steps and minutes: median over runs and range.</p>
<h2>Learning curves</h2><img alt="Learning curves by agent steps and by wall-clock minutes, and final scores"
src="{_data(figure, "image/png")}">
<p class=muted>Thick lines: interquartile mean over runs where all runs have data (a run that stopped
because it had solved the task keeps its last value); thin lines: single runs; bands: 95 % bootstrap
interval over runs (for one run: normal interval over the episodes behind each point). Dotted: scores
timed in the table.</p>
<h2>Agents playing</h2>{_films(comparison)}
<h2>Runs</h2>{_table(*run_table(comparison))}
<h2>The task</h2>{_table(["field", "value"], fields)}
<h2>Versions</h2>{_list(versions)}
</body></html>
"""
    file.write_text(page, encoding="utf-8")


# -------------------------------------------------------------------------------------------------- the JSON


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
