"""Where a run belongs at Weights & Biases: a flag, else W&B's environment variable, else its settings file, else ours.

`wandb offline`, `wandb disabled` and `wandb init` write the settings file: `wandb/settings` in the folder where they
are typed, or `settings` in the user's W&B folder.
"""

import io
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from dataclasses import replace
from typing import Any

from rl_gen_lab.cli.errors import CheckpointError, ConfigError
from rl_gen_lab.cli.settings import WandbConfig
from rl_gen_lab.runs.files import write_json
from rl_gen_lab.runs.folder import RunFolder
from rl_gen_lab.runs.reading import read_json

DEFAULT_PROJECT = "rl_gen_lab"
# Field of WandbConfig -> the environment variable and the key of the settings file, read in this order.
SOURCES = {
    "project": ("WANDB_PROJECT", "project"),
    "entity": ("WANDB_ENTITY", "entity"),
    "group": ("WANDB_RUN_GROUP", "run_group"),
    "tags": ("WANDB_TAGS", "run_tags"),
    "notes": ("WANDB_NOTES", "run_notes"),
}
READ_HERE = ("WANDB_MODE", "WANDB_NAME", "WANDB_JOB_TYPE", *(variable for variable, _ in SOURCES.values()))
LONGEST = {"project": 128, "entity": 128, "group": 128, "tags": 64}  # characters that W&B accepts
NOT_IN_PROJECTS = re.compile(r"[/\\#?%:]")
KEPT = ("project", "entity", "group")  # what a resumed run shares with its first part, or it would be another run


@contextmanager
def hidden_variables() -> Iterator[None]:
    """Hide the variables that are read here: W&B gets their values as arguments, and fails for WANDB_MODE=Offline."""
    hidden = {name: os.environ.pop(name) for name in READ_HERE if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(hidden)


def stored_settings() -> dict[str, str]:
    """Return what W&B's settings files hold, the one of this folder over the user's; {} where W&B is not usable."""
    try:
        import wandb

        with hidden_variables(), redirect_stderr(io.StringIO()):  # it names the files that it reads
            return dict(wandb.setup().settings.read_system_settings().all())
    except Exception:  # missing, or broken in any way
        return {}


def refuse_impossible(config: WandbConfig) -> None:
    """Refuse flags and environment variables that W&B would refuse. Raises: ConfigError."""
    for field, (variable, _) in SOURCES.items():
        flag, from_variable = getattr(config, field), os.environ.get(variable)
        if flag is not None:
            _check(field, flag, f"--wandb.{field}")
        if not flag and from_variable:
            _check(field, _split(field, from_variable), variable)


def resolve(config: WandbConfig, stored: Mapping[str, str]) -> WandbConfig:
    """Return the settings with what the flags leave open: from variables, `stored_settings`, our defaults.

    Raises: ConfigError for a name that W&B would refuse.
    """
    refuse_impossible(config)
    found: dict[str, Any] = {}
    for field, (variable, key) in SOURCES.items():
        if getattr(config, field):
            continue
        if text := os.environ.get(variable):
            found[field] = _split(field, text)
        elif text := stored.get(key):
            found[field] = _split(field, text)
            _check(field, found[field], f"'{key}' in W&B's settings")
    resolved = replace(config, **found)
    return resolved if resolved.project else replace(resolved, project=DEFAULT_PROJECT)


def as_before(run: RunFolder, names: dict[str, Any]) -> dict[str, Any]:
    """Return arguments of `wandb.init` with project, entity and group of the run's first part, which are kept here.

    names: those arguments as they would be for a new run. Raises: SaveError.
    """
    file = run.path / "wandb_names.json"
    try:
        kept = read_json(file, dict.fromkeys(KEPT, (str, None))) if file.is_file() else {}
        for name in KEPT:
            if kept.get(name):
                _check(name, kept[name], str(file))
    except (CheckpointError, ConfigError):  # damaged: the run is what counts
        kept = {}
    merged = names | {name: kept[name] for name in KEPT if kept.get(name)}
    if (now := {name: merged[name] for name in KEPT}) != kept:
        write_json(file, now)
    return merged


def _split(field: str, text: str) -> str | tuple[str, ...]:
    if field != "tags":
        return text
    return tuple(tag.strip() for tag in text.split(",") if tag.strip())


def _check(field: str, value: str | tuple[str, ...], source: str) -> None:
    """Raise ConfigError naming the source of a text that W&B would refuse."""
    limit = LONGEST.get(field)
    for text in (value,) if isinstance(value, str) else value:
        if limit is not None and not 1 <= len(text.strip()) <= limit:
            what = "is empty" if not text.strip() else f"has {len(text)} characters"
            raise ConfigError(f"{source} {what}; W&B takes 1 to {limit}: {text[:40]!r}")
        if field == "project" and (wrong := NOT_IN_PROJECTS.search(text)):
            raise ConfigError(rf"{source} {text!r} contains '{wrong[0]}'; W&B takes no / \ # ? % : in a project's name")
