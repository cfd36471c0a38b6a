"""Refusal of settings that the chosen model does not have."""

from operator import attrgetter
from typing import Any

from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.cli.wording import listed


def uses(config: Any, name: str) -> bool:
    """Return whether the chosen model has a setting. config: as for `refuse_unused`."""
    return config.model in getattr(config, "USED_BY", {}).get(name, (config.model,))


def refuse_unused(config: Any, table: str) -> None:
    """Refuse settings that were changed and that `config.model` does not have; in saved runs they do no harm.

    config: a dataclass whose `USED_BY`, if it has one, holds for settings that not every model has ("crop",
    "choices.depth") the models that have them; table: the prefix of its flags. Raises: ConfigError.
    """
    for name, models in getattr(config, "USED_BY", {}).items():
        value = attrgetter(name)
        if not uses(config, name) and value(config) != value(type(config)()):
            raise ConfigError(f"{table}.{name} is a setting of {listed(models)}, not of {config.model}")
