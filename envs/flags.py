"""How flags are read: numbers in their range, which --help shows, paths with ~, and all spellings of booleans.

As `rl_gen_lab/cli` (`flag_types.py`, `booleans.py`), which this package cannot import.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from annotated_types import Interval
from tyro.constructors import (
    ConstructorRegistry,
    PrimitiveConstructorSpec,
    PrimitiveTypeInfo,
    StructConstructorSpec,
    StructTypeInfo,
)

from envs.config import in_words, out_of_range

WORDS = {"true": "True", "false": "False", "none": "None"}


def make_registry() -> ConstructorRegistry:
    """Return tyro's rules with ours: the annotated ranges of numbers, and paths."""
    registry = ConstructorRegistry()
    asked = False  # tyro itself, inside our rule

    @registry.struct_rule
    def dataclass_rule(info: StructTypeInfo) -> StructConstructorSpec | None:
        nonlocal asked
        if asked or not dataclasses.is_dataclass(info.type):
            return None
        asked = True
        try:
            spec = ConstructorRegistry.get_struct_spec(info)
        finally:
            asked = False
        if not isinstance(spec, StructConstructorSpec):
            return None
        return dataclasses.replace(
            spec, fields=tuple(dataclasses.replace(field, type=_readable(field.type)) for field in spec.fields)
        )

    @registry.primitive_rule
    def path_rule(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Path] | None:
        if info.type is not Path:
            return None
        return PrimitiveConstructorSpec(1, "PATH", _path, lambda x: isinstance(x, Path), lambda x: [str(x)])

    return registry


def _readable(hint: Any) -> Any:
    parts = get_args(hint)
    if get_origin(hint) is Annotated:
        base, *notes = parts
        return Annotated[(base, *notes, *(_reader(base, note) for note in notes if isinstance(note, Interval)))]
    return Union[tuple(map(_readable, parts))] if get_origin(hint) in (Union, UnionType) else hint  # noqa: UP007


def _reader(kind: type[int] | type[float], interval: Interval) -> PrimitiveConstructorSpec[Any]:
    def read(words: list[str]) -> float:
        try:
            value = kind(words[0])
        except ValueError:
            raise ValueError(f"must be a number {in_words(interval)}, not '{words[0]}'") from None
        if wrong := out_of_range(value, interval):
            raise ValueError(wrong)
        return value

    metavar = f"{kind.__name__.upper()} {in_words(interval)}"
    return PrimitiveConstructorSpec(1, metavar, read, lambda x: isinstance(x, int | float), lambda x: [str(x)])


def _path(words: list[str]) -> Path:
    try:
        path = Path(words[0]).expanduser()
        path.absolute().exists()
    except (OSError, RuntimeError) as error:  # too long, or the home folder of nobody known here
        reason = getattr(error, "strerror", error)
        raise OSError(f"no possible path: '{words[0][:40]}' ({reason})") from error  # tyro hides a ValueError
    return path


def plain_booleans(config_class: type, argv: list[str]) -> list[str]:
    """Return a command line with its boolean flags as tyro reads them: --x, or --x False for one with a None.

    They may be written --x, --no-x, --x=False, --x true. Raises: ValueError for a value that is neither.
    """
    optional = dict(_boolean_flags(config_class))
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
            raise ValueError(f"{flag} takes true or false, not '{value}'")
        if last.startswith("no_") and meant != "None":
            meant = "False" if meant == "True" else "True"
        if optional[name]:
            words += [f"--{name}", meant]
        else:
            words.append(f"--{name}" if meant == "True" else f"--{head}{dot}no_{last.removeprefix('no_')}")
    return words


def _boolean_flags(config_class: Any, prefix: str = "") -> Iterator[tuple[str, bool]]:
    """Yield the dotted names of the settings that are true or false, and whether None is a third value."""
    for name, hint in get_type_hints(config_class).items():
        if dataclasses.is_dataclass(hint):
            yield from _boolean_flags(hint, f"{prefix}{name}.")
        elif hint is bool or bool in get_args(hint):
            yield f"{prefix}{name}", hint is not bool
