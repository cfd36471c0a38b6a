"""Refusal of settings that the chosen model does not have."""

from operator import attrgetter
from typing import Any

from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.cli.wording import listed


def uses(config: Any, name: str) -> bool:
    """Return whether the chosen model has a setting. config: as for `refuse_unused`."""
    chosen = getattr(config, _choice(config, name))
    return chosen in getattr(config, "USED_BY", {}).get(name, (chosen,))


def _choice(config: Any, name: str) -> str:
    """Return the setting whose value decides whether another one is used: "model", unless `CHOSEN_BY` names it."""
    return str(getattr(config, "CHOSEN_BY", {}).get(name, "model"))


def refuse_unused(config: Any, table: str) -> None:
    """Refuse settings that were changed and that `config.model` does not have; in saved runs they do no harm.

    config: a dataclass whose `USED_BY`, if it has one, holds for settings that not every model has ("crop",
    "choices.depth") the models that have them, or the values of the setting that `CHOSEN_BY` names for it; table: the
    prefix of its flags. Raises: ConfigError.
    """
    for name, models in getattr(config, "USED_BY", {}).items():
        value = attrgetter(name)
        if not uses(config, name) and value(config) != value(type(config)()):
            chosen = getattr(config, _choice(config, name))
            raise ConfigError(f"{table}.{name} is a setting of {listed(models)}, not of {chosen}")
