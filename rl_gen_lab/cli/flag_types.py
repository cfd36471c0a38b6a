"""How tyro reads the flags of settings: a number in its range, which --help shows, and a path as a shell reads it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from annotated_types import Interval
from tyro.constructors import (
    ConstructorRegistry,
    PrimitiveConstructorSpec,
    PrimitiveTypeInfo,
    StructConstructorSpec,
    StructTypeInfo,
)

from rl_gen_lab.cli.ranges import in_words, out_of_range
from rl_gen_lab.cli.shell import typed_path


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
        if not isinstance(spec, StructConstructorSpec):  # the default does not fit: tyro says so
            return None
        return dataclasses.replace(
            spec, fields=tuple(dataclasses.replace(field, type=readable(field.type)) for field in spec.fields)
        )

    @registry.primitive_rule
    def path_rule(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Path] | None:
        if info.type is not Path:
            return None
        # Raises ConfigError itself: of a ValueError tyro hides the reason where the path may be None.
        return PrimitiveConstructorSpec(
            1, "PATH", lambda words: typed_path(words[0]), lambda x: isinstance(x, Path), lambda x: [str(x)]
        )

    return registry


def readable(hint: Any) -> Any:
    """Return the type of a setting with, at each number that has a range, how its flag is read."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Annotated:
        base, *notes = parts
        readers = [_reader(base, note) for note in notes if isinstance(note, Interval)]
        return Annotated[(readable(base), *notes, *readers)]
    if origin in (Union, UnionType):
        return Union[tuple(map(readable, parts))]  # noqa: UP007
    return tuple[tuple(map(readable, parts))] if origin is tuple else hint  # type: ignore[misc]


def _reader(kind: type[int] | type[float], interval: Interval) -> PrimitiveConstructorSpec[Any]:
    def read(words: list[str]) -> float:
        try:
            value = kind(words[0])
        except ValueError:
            number = "a whole number" if kind is int else "a number"
            raise ValueError(f"must be {number} {in_words(interval)}, not '{words[0]}'") from None
        if wrong := out_of_range(value, interval):
            raise ValueError(wrong)
        return value

    metavar = f"{kind.__name__.upper()} {in_words(interval)}"
    return PrimitiveConstructorSpec(1, metavar, read, lambda x: isinstance(x, int | float), lambda x: [str(x)])
