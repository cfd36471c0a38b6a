"""Refusal of settings that the chosen model does not have."""

from dataclasses import MISSING, fields
from typing import Any

from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.cli.wording import listed


def refuse_unused(config: Any, table: str) -> None:
    """Refuse settings that were changed and that `config.model` does not have; in saved runs they do no harm.

    config: a dataclass whose `USED_BY`, if it has one, holds for settings that not every model has the models that have
    them; table: the prefix of its flags. Raises: ConfigError.
    """
    used_by = getattr(config, "USED_BY", {})
    for own in fields(config):
        default = own.default if own.default_factory is MISSING else own.default_factory()
        models = used_by.get(own.name, (config.model,))
        if config.model not in models and getattr(config, own.name) != default:
            raise ConfigError(f"{table}.{own.name} is a setting of {listed(models)}, not of {config.model}")
