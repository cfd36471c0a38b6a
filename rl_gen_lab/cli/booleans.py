"""Boolean flags in every spelling that people and sweeps use: --x, --no-x, --x=False, --x true."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, get_args, get_type_hints

from rl_gen_lab.cli.errors import ConfigError

WORDS = {"true": "True", "false": "False", "none": "None"}


def plain_booleans(config_class: type, argv: list[str]) -> list[str]:
    """Return a command line with its boolean flags as tyro reads them: --x, or --x False for one with a None.

    Raises: ConfigError for a value that is neither true nor false.
    """
    optional = dict(boolean_flags(config_class))
    words, waiting = [], list(reversed(argv))
    while waiting:
        word = waiting.pop()
        flag, equals, value = word.partition("=")
        head, dot, last = flag.removeprefix("--").replace("-", "_").rpartition(".")
        name = head + dot + last.removeprefix("no_")
        if not flag.startswith("--") or name not in optional:
            words.append(word)
            continue
        if not equals and waiting and waiting[-1].lower() in WORDS:
            equals, value = "=", waiting.pop()
        meant = WORDS.get(value.lower()) if equals else "True"
        if meant is None or (meant == "None" and not optional[name]):
            raise ConfigError(f"{flag} takes true or false, not '{value}'")
        if last.startswith("no_") and meant != "None":
            meant = "False" if meant == "True" else "True"
        if optional[name]:
            words += [f"--{name}", meant]
        else:
            words.append(f"--{name}" if meant == "True" else f"--{head}{dot}no_{last.removeprefix('no_')}")
    return words


def boolean_flags(config_class: Any, prefix: str = "") -> Iterator[tuple[str, bool]]:
    """Yield the dotted names of the settings that are true or false, and whether None is a third value."""
    for name, hint in get_type_hints(config_class, include_extras=True).items():
        base, *notes = get_args(hint) if hasattr(hint, "__metadata__") else (hint,)
        shown = next((note.name for note in notes if getattr(note, "name", None) is not None), name)
        dotted = ".".join(part for part in (prefix, shown) if part)
        if dataclasses.is_dataclass(base):
            yield from boolean_flags(base, dotted)
        elif base is bool or bool in get_args(base):
            yield dotted, base is not bool
