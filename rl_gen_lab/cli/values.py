"""Settings as plain values: dataclasses to nested JSON or TOML values and back, with types checked."""

import dataclasses
import math
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from rl_gen_lab.cli.errors import ConfigError, UserError, suggest
from rl_gen_lab.cli.ranges import in_words, out_of_range, ranges_in
from rl_gen_lab.cli.shell import typed_path
from rl_gen_lab.cli.spelling import current_keys

Config = TypeVar("Config")


def to_dict(config: Any) -> dict[str, Any]:
    """Return nested JSON values: tuples become lists, paths text, NaN and infinity "nan", "inf", "-inf"."""
    return {field.name: _to_plain(getattr(config, field.name)) for field in dataclasses.fields(config)}


def to_flat_dict(config: Any) -> dict[str, Any]:
    """Return the values of `to_dict` under flat keys such as "world.sticky"."""
    return dict(_flatten(to_dict(config), ()))


def from_dict(config_class: type[Config], values: dict[str, Any], source: str = "config") -> Config:
    """Rebuild a config from the values of `to_dict`; an absent key keeps its default.

    source: the origin of the values, named in errors. Raises ConfigError for an unknown key or a wrong type.
    """
    config: Config = _overlay(config_class(), current_keys(values), source, ())
    return config


def _overlay(config: Any, values: dict[str, Any], source: str, path: tuple[str, ...]) -> Any:
    """Return the dataclass with these values in place of its own."""
    hints = get_type_hints(type(config), include_extras=True)
    changes = {}
    for key, value in values.items():
        where = (*path, key)
        if key not in hints:
            raise ConfigError(f"{source}: unknown key '{'.'.join(where)}'.{_nearest(config, path, key)}")
        current = getattr(config, key)
        if dataclasses.is_dataclass(current) and isinstance(value, dict):
            changes[key] = _overlay(current, value, source, where)
        else:
            changes[key] = convert(value, hints[key], source, ".".join(where))
    try:
        return dataclasses.replace(config, **changes)
    except (UserError, ValueError) as error:  # an impossible combination, refused by the dataclass itself
        raise ConfigError(f"{source}: {error}") from error


def _nearest(config: Any, path: tuple[str, ...], key: str) -> str:
    names = [".".join((*path, *rest)) for rest in _keys(config)]
    same_end = [name for name in names if name.rpartition(".")[2] == key]
    return f" Did you mean '{same_end[0]}'?" if same_end else suggest(".".join((*path, key)), names)


def _keys(config: Any) -> Iterator[tuple[str, ...]]:
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        yield (field.name,)
        if dataclasses.is_dataclass(value):
            yield from ((field.name, *rest) for rest in _keys(value))


def convert(value: Any, hint: Any, source: str, where: str) -> Any:
    """Convert a TOML or JSON value to the type of its field, hint, in its range.

    source, where: the origin of the value and its dotted name, for the message. Raises ConfigError for another type.
    """
    for option in _union_members(hint):
        try:
            converted = _as_type(value, option, source, where)
        except TypeError:
            continue
        if wrong := out_of_range(converted, option):
            raise ConfigError(f"{source}: '{where}' {wrong}")
        return converted
    raise ConfigError(f"{source}: '{where}' must be {_describe(hint)}, not {value!r}")


def _as_type(value: Any, hint: Any, source: str, where: str) -> Any:
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _as_type(value, args[0], source, where)
    if origin is Literal and value in args:
        return args[args.index(value)]
    if origin is tuple and isinstance(value, list | tuple):
        item_hints = [args[0]] * len(value) if args[1:] == (...,) else list(args)
        if len(item_hints) == len(value):
            pairs = zip(value, item_hints, strict=True)
            return tuple(convert(item, type_, source, f"{where}[{i}]") for i, (item, type_) in enumerate(pairs))
    if origin is list and isinstance(value, list):
        return [convert(item, args[0], source, f"{where}[{index}]") for index, item in enumerate(value)]
    if origin is dict and isinstance(value, dict):
        return {key: convert(item, args[1], source, f"{where}.{key}") for key, item in value.items()}
    if dataclasses.is_dataclass(hint) and isinstance(value, dict):
        return _overlay(cast(type[Any], hint)(), value, source, tuple(where.split(".")))
    if hint is float and (type(value) in (int, float) or value in ("nan", "inf", "-inf")):
        if type(value) is int and abs(value) >= 2**1023:  # beyond any float
            raise TypeError
        return float(value)
    if hint is Path and isinstance(value, str):
        return typed_path(value)
    if hint in (int, str, bool, type(None)) and type(value) is hint:
        return value
    raise TypeError


def _union_members(hint: Any) -> tuple[Any, ...]:
    inner = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    return get_args(inner) if get_origin(inner) in (Union, types.UnionType) else (hint,)


def _describe(hint: Any) -> str:
    words = []
    for option in _union_members(hint):
        if get_origin(option) is Literal:
            words.append("one of " + ", ".join(map(str, get_args(option))))
        elif option is not type(None):  # TOML has no word for it: leave the key out
            kind = get_args(option)[0] if get_origin(option) is Annotated else option
            names = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
            words.append(" ".join([names.get(kind, str(kind)), *map(in_words, ranges_in(option))]))
    return " or ".join(words)


def _to_plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return to_dict(value)
    if isinstance(value, dict):
        return {str(key): _to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_to_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return str(value) if isinstance(value, Path) else value


def _flatten(values: dict[str, Any], path: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from _flatten(value, (*path, key))
        else:
            yield ".".join((*path, key)), value
