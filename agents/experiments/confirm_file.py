"""A sweep that confirms another: its best few settings again, with other seeds and without an early end.

The best of many trials is partly luck with its seeds; on others it may be no better than what one began with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agents.experiments.preset_file import toml_value
from agents.experiments.search_space import Dimension
from agents.experiments.sweep_plan import Sweep
from agents.reports.sweep import TrialRecord
from rl_gen_lab.runs.files import replace_file

BEST = 3  # settings that are compared again, besides those that the sweep began with
SEEDS = 5


def write_confirmation(file: Path, sweep: Sweep, trials: Sequence[TrialRecord]) -> list[int]:
    """Write the sweep and return the numbers of the trials in it, the best first. Raises: SaveError.

    trials: complete ones. Their first is compared too: it has the settings that the command has by itself, unless
    `try_start` is off.
    """
    ranked = sorted(trials, key=lambda trial: -(trial.score or 0.0))
    chosen = ranked[:BEST]
    first = min(trials, key=lambda trial: trial.number)
    chosen += [first] if first not in chosen else []
    fresh = max(sweep.plan.seeds) + 100
    plan = sweep.plan
    lines = [
        f"# The best settings of {sweep.file.name}, again, with other seeds: trials "
        + " ".join(str(trial.number) for trial in chosen),
        f"command = {toml_value(plan.command)}",
        f"trials = {len(chosen)}",
        f"seeds = {toml_value(list(range(fresh, fresh + SEEDS)))}",
        f"score = {toml_value(plan.score)}",
        *([] if plan.quantile is None else [f"quantile = {plan.quantile!r}"]),
        'sampler = "random"',
        "try_start = false",
        "first = [",
        *(f"    {_inline(trial.settings)}," for trial in chosen),
        "]",
        "",
        "[pruner]",
        'kind = "none"',
        "",
        "[search]",
        *(f"{_key(d.name)} = {_dimension(d)}" for d in sweep.space.dimensions),
    ]
    text = "\n".join(lines) + "\n"
    replace_file(file, lambda new: new.write_text(text, encoding="utf-8"))
    return [trial.number for trial in chosen]


def _inline(values: Mapping[str, Any]) -> str:
    """Format a table in one line; "none" stands for None, as in a search space."""
    pairs = (f"{_key(key)} = {toml_value('none' if x is None else x)}" for key, x in values.items())
    return "{ " + ", ".join(pairs) + " }"


def _key(name: str) -> str:
    return toml_value(name) if "." in name else name


def _dimension(d: Dimension) -> str:
    if d.low is None:
        return _inline({"choices": ["none" if choice is None else choice for choice in d.choices]})
    ends = {"low": d.low, "high": d.high, "step": d.step, "log": d.log or None}
    return _inline({key: value for key, value in ends.items() if value is not None})
