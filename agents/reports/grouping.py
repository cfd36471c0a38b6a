"""Grouping of comparable runs by agent and settings."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agents.reports.run_record import RunRecord
from rl_gen_lab.cli.errors import UserError

# Settings that do not change how a run learns; `env` is compared by its full id.
NOT_THE_AGENT = (
    "env",
    "seed",
    "wandb",
    "run.total_minutes",
    "run.runs_dir",
    "run.resume",
    "run.film",
    "run.log_every_env_steps",
)


class IncomparableRunsError(UserError):
    """Runs of different tasks: a ranking would mean nothing."""


def task_differences(left: RunRecord, right: RunRecord) -> list[str]:
    """Return the fields of the task in which two runs differ: ["sticky: 0.25 vs 0.0"]."""
    if left.fingerprint.get("hash") == right.fingerprint.get("hash"):
        return []
    a, b = left.fingerprint.get("fields") or {}, right.fingerprint.get("fields") or {}
    keys = [key for key in dict.fromkeys([*a, *b]) if a.get(key) != b.get(key)]
    fields = [f"{key}: {a.get(key, 'absent')} vs {b.get(key, 'absent')}" for key in keys]
    return fields or [f"hash: {left.fingerprint.get('hash')} vs {right.fingerprint.get('hash')}"]


def check_comparable(runs: Sequence[RunRecord]) -> None:
    """Refuse runs of different tasks.

    Raises:
        IncomparableRunsError: with every differing field of each run that differs from the first.
    """
    lines = []
    for run in runs[1:]:
        if fields := task_differences(runs[0], run):
            lines.append(f"{runs[0].name} and {run.name} differ in {'; '.join(fields)}")
    if lines:
        raise IncomparableRunsError("runs of different tasks cannot be ranked. " + ". ".join(lines))


def group_runs(runs: Sequence[RunRecord]) -> dict[str, list[RunRecord]]:
    """Group runs by agent; an agent with several configurations gives several groups, labeled by the differences."""
    settings: dict[Path, dict[str, Any]] = {}
    for run in runs:
        flat = flatten(run.config["config"])
        settings[run.folder] = {k: v for k, v in flat.items() if not {k, k.partition(".")[0]} & set(NOT_THE_AGENT)}
        settings[run.folder]["processes"] = run.processes  # as many times the environments and the batch
    groups: dict[str, list[RunRecord]] = {}
    for run in runs:
        of_agent = [settings[other.folder] for other in runs if other.exp_name == run.exp_name]
        # A setting that a run of another version lacks is switched off: as if it were None or False.
        varying = sorted(key for key in set().union(*of_agent) if len({str(_on(own, key)) for own in of_agent}) > 1)
        words = [f"{key}={settings[run.folder].get(key)}" for key in varying]
        label = run.exp_name + (f" ({', '.join(words)})" if words else "")
        groups.setdefault(label, []).append(run)
    return groups


def _on(settings: dict[str, Any], key: str) -> Any:
    value = settings.get(key)
    return None if value is False else value


def flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested settings.

    >>> flatten({"a": {"b": 1}})
    {'a.b': 1}
    """
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat
