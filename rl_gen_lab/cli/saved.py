"""Settings from the config.json of a run that another version of this program may have written.

A preset or a flag is typed by a person, and an unknown key there is a mistake; in config.json it is a setting that
came or went between two versions.
"""

import dataclasses
from typing import Any, TypeVar

from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.cli.spelling import current_keys
from rl_gen_lab.cli.values import from_dict

Config = TypeVar("Config")
_reported: set[tuple[str, str]] = set()


def from_saved(config_class: type[Config], values: dict[str, Any], source: str, table: str = "") -> Config:
    """Rebuild a config from the values of `to_dict`; unknown keys are left out, and one line names them.

    A missing key takes the default. source: the file, named in messages; table: the key under which the values stand
    in it. Raises ConfigError for a value of a wrong type.
    """
    if not isinstance(values, dict):
        raise ConfigError(f"{source}: '{table or 'config'}' is no table of settings")
    unknown: list[str] = []
    known = _known(config_class(), current_keys(values), table, unknown)
    new = [name for name in unknown if (source, name) not in _reported]  # a command may read a table twice
    _reported.update((source, name) for name in new)
    if new:
        print(f"{source}: left out, for this version has no such settings: {', '.join(map(_name, new))}", flush=True)
    return from_dict(config_class, known, source)


def _name(name: str) -> str:
    return name if name.isprintable() else ascii(name)  # it may give a terminal commands


def _known(config: Any, values: dict[str, Any], path: str, unknown: list[str]) -> dict[str, Any]:
    """Return the values whose keys are fields of the dataclass, at every depth; add other names to `unknown`."""
    fields = {field.name for field in dataclasses.fields(config)}
    kept = {}
    for key, value in values.items():
        name = f"{path}.{key}" if path else key
        if key not in fields:
            unknown.append(name)
        elif dataclasses.is_dataclass(current := getattr(config, key)) and isinstance(value, dict):
            kept[key] = _known(current, value, name, unknown)
        else:
            kept[key] = value
    return kept
