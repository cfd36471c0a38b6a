"""The best settings of a sweep as a preset, `configs/<agent>_<name>.toml`, and as a command.

The preset holds what makes the agent; steps, evaluations and checkpoints stay those of the preset that the command of
the sweep starts from, whatever the sweep spent on a trial.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from textwrap import wrap
from typing import Any

from agents.experiments.sweep_plan import Plan, Sweep, read_settings
from agents.training.cli import PRESETS
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.cli.shell import python, shell
from rl_gen_lab.cli.values import from_dict, to_flat_dict
from rl_gen_lab.runs.files import replace_file

FOUND_BY = "Found by python -m agents.sweep"  # how the head of such a preset begins
# Settings of a run, not of an agent.
OF_A_RUN = ("eval.", "run.", "device.", "wandb.")
BUDGET = ("env", "seed", "total_env_steps")
# Flags of a command that choose its preset, each with its value.
CHOOSING = ("--env", "--preset", "--algo", "--observe", "--world.observe")


def best_command(sweep: Sweep, values: Mapping[str, Any]) -> str:
    """Return the command of the sweep with these settings, to copy into a shell."""
    return shell(python(), "-m", *sweep.plan.words, *sweep.space.words(values))


def preset_file(sweep: Sweep, name: str) -> Path:
    """Return where a preset of this name lies.

    Raises: ConfigError for what is no name, and for a preset that no sweep wrote: it would be lost.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9_.-]{0,99}", name):
        raise ConfigError(f"'{name}' cannot be the name of a preset: small letters, digits, '_', '-' and '.'")
    file = PRESETS / f"{sweep.plan.agent}_{name}.toml"
    if file.exists() and not file.read_text(encoding="utf-8").startswith(f"# {FOUND_BY}"):
        raise ConfigError(f"configs/{file.name} is there and no sweep wrote it: choose another name, or move it away")
    return file


def write_preset(file: Path, sweep: Sweep, values: Mapping[str, Any], about: str) -> None:
    """Write a preset with these values of the searched settings. about: sentences for its head. Raises: SaveError."""
    config_class = type(sweep.start)
    wanted = _wanted(sweep, values)
    defaults = to_flat_dict(config_class())
    nested: dict[str, Any] = {}
    for key, value in wanted.items():
        if value != defaults[key] and value is not None:
            *tables, last = key.split(".")
            table = nested
            for part in tables:
                table = table.setdefault(part, {})
            table[last] = value
    head = [f"# {line}" for line in wrap(about, 118)]
    head += [f"# {key}: none cannot stand in a preset" for key in wanted if wanted[key] is None != defaults[key]]
    text = "\n".join([*head, *_lines(nested)]) + "\n"
    if from_dict(config_class, tomllib.loads(text)) != from_dict(config_class, nested):
        raise ConfigError(f"{file} would not say the same as the best settings")
    replace_file(file, lambda new: new.write_text(text, encoding="utf-8"))


def _wanted(sweep: Sweep, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return all flat settings of the preset."""
    plan = sweep.plan
    best, searched = to_flat_dict(sweep.settings(values)), {d.name for d in sweep.space.dimensions}
    base = to_flat_dict(read_settings(replace(plan, command=" ".join([plan.module, *_choosing(plan)]))))
    mine = {k: v for k, v in best.items() if not k.startswith(OF_A_RUN) and k not in BUDGET} | {
        key: best[key] for key in searched
    }
    return {key: value for key, value in (base | mine).items() if key not in ("env", "seed")}


def _choosing(plan: Plan) -> Iterator[str]:
    words = iter(plan.words[1:])
    for word in words:
        flag, equals, _ = word.partition("=")
        if flag in CHOOSING:
            yield word
            if not equals:
                yield next(words)


def _lines(table: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """Yield the lines of a TOML table, its tables last."""
    for key, value in table.items():
        if not isinstance(value, dict):
            yield f"{key} = {toml_value(value)}"
    for key, value in table.items():
        if isinstance(value, dict):
            name = f"{path}.{key}" if path else key
            yield from (
                ("", f"[{name}]", *_lines(value, name))
                if any(not isinstance(inner, dict) for inner in value.values())
                else _lines(value, name)
            )


def toml_value(value: Any) -> str:
    """Format a value; JSON's text is also TOML's, numbers get underscores as in the other presets."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return json.dumps(value, ensure_ascii=False)
    whole = isinstance(value, int) or (value.is_integer() and abs(value) < 2**53)
    return f"{int(value):_}" if whole else repr(value)
