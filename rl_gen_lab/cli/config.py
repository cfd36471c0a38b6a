"""Settings of a command: defaults of a frozen dataclass < TOML preset < flags.

A preset is a file `<presets>/<agent>_<name>.toml` with only what differs from the defaults; a nested
dataclass is a TOML table. An unknown key or a wrong type is an error that names file, key and the nearest
right name.
"""

import contextlib
import dataclasses
import functools
import io
import math
import os
import re
import sys
import tomllib
import types
from collections.abc import Callable, Iterator, Sequence
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any, Literal, ParamSpec, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import tyro

from rl_gen_lab.cli.errors import ConfigError, UserError, suggest
from rl_gen_lab.cli.progress import short

DEFAULTS = "defaults"  # the name of the preset that changes nothing

Config = TypeVar("Config")
P = ParamSpec("P")
R = TypeVar("R")


def load(
    config_class: type[Config],
    argv: Sequence[str] | None,
    *,
    agent: str,
    presets_dir: Path,
    preset_candidates: Sequence[str] = (),
) -> Config:
    """Read the settings of a command and print which preset they start from.

    Args:
        config_class: frozen dataclass; every field has a default.
        argv: the flags; None: those of this process. `--preset NAME` chooses a preset, "defaults" none.
        agent: first part of the names of its presets.
        presets_dir: folder of the presets.
        preset_candidates: names to look for without `--preset`, best first.

    Raises ConfigError for a preset that is missing or wrong.
    Exits with code 2 for a wrong flag, 0 after --help.
    """
    flags, asked = _take_flag(list(sys.argv[1:] if argv is None else argv), "preset")
    known = sorted(file.stem.removeprefix(f"{agent}_") for file in presets_dir.glob(f"{agent}_*.toml"))
    found = [name for name in preset_candidates if name in known]
    name = asked if asked is not None else (found or [DEFAULTS])[0]
    config = config_class()
    if name in known:
        file = presets_dir / f"{agent}_{name}.toml"
        print(f"preset: {short(file)}", flush=True)
        config = _overlay(config, _read_toml(file), short(file), ())
    elif name == DEFAULTS:
        print(f"preset: {DEFAULTS}", flush=True)
    else:
        choices = [*known, DEFAULTS]
        raise ConfigError(f"unknown preset '{name}', known: {', '.join(choices)}.{suggest(name, choices)}")
    about = f"{config_class.__doc__}\n\n--preset NAME starts from one of: {', '.join([*known, DEFAULTS])}."
    return parse_flags(config_class, flags, default=config, description=about)


def parse_flags(
    config_class: type[Config],
    argv: Sequence[str] | None,
    *,
    default: Config | None = None,
    description: str | None = None,
) -> Config:
    """Read flags by tyro; what tyro draws as a box about a wrong flag becomes one line. Raises ConfigError."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            parsed = tyro.cli(
                config_class, args=argv, default=default, prog=_program(), description=description, use_underscores=True
            )
    except SystemExit as error:
        if not error.code:  # --help
            raise
        raise ConfigError(_one_line(said.getvalue())) from None
    return cast(Config, parsed)


def _one_line(box: str) -> str:
    """The words of tyro's box, without title, frame, rules and the advice to ask for help; of like flags the names."""
    lines = [line.strip("│╭╮╰╯─ ") for line in box.splitlines()[1:]]
    lines = [line for line in lines if line.strip("-")]  # rules, as they are drawn for a terminal that knows no "─"
    said = "\n".join(lines).partition("For full helptext")[0]
    said, _, like = re.split(r"(Perhaps you meant:|Arguments similar to|Argument helptext:|$)", said, maxsplit=1)
    words = " ".join(said.split())
    wrong = re.findall(r"--[\w.-]+", words.partition("Unrecognized options:")[2])
    near = [flag for line in re.findall(r"^--.*", like, re.MULTILINE) for flag in re.findall(r"--[\w.]+", line)]
    if wrong and near:
        near.sort(key=lambda flag: max(_likeness(flag, typed) for typed in wrong), reverse=True)
        words += f" - did you mean {' or '.join(near[:3])}?"
    return words or "wrong flags; see --help"


def _likeness(flag: str, typed: str) -> float:
    return SequenceMatcher(None, flag.replace("-", "_"), typed.replace("-", "_")).ratio()


def first_look(argv: Sequence[str] | None, name: str) -> str | None:
    """Give the value of flag `--name` before the flags are parsed; None when it is absent."""
    return _take_flag(list(sys.argv[1:] if argv is None else argv), name)[1]


def to_dict(config: Any) -> dict[str, Any]:
    """Give nested JSON values: tuples become lists, paths text, NaN and infinity "nan", "inf", "-inf"."""
    return {field.name: _to_plain(getattr(config, field.name)) for field in dataclasses.fields(config)}


def to_flat_dict(config: Any) -> dict[str, Any]:
    """Give the values of `to_dict` under flat keys such as "world.sticky"."""
    return dict(_flatten(to_dict(config), ()))


def from_dict(config_class: type[Config], values: dict[str, Any], source: str = "config") -> Config:
    """Undo `to_dict`; what is absent keeps its default.

    source: how an error names the origin of the values. Raises ConfigError for an unknown key or a wrong type.
    """
    config: Config = _overlay(config_class(), values, source, ())
    return config


@contextlib.contextmanager
def reader_may_leave() -> Iterator[None]:
    """End without a word when nobody reads any more what is printed, as after `| head -1`: with 141, as shells say."""
    try:
        try:
            yield
        except SystemExit:
            sys.stdout.flush()
            raise
        sys.stdout.flush()  # now, not when Python ends and can only complain
    except BrokenPipeError:
        try:
            os.write(sys.stdout.fileno(), b"\n")
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(141)
        raise  # it was another pipe that broke


def exit_on_error(main: Callable[P, R], *also: type[Exception]) -> Callable[P, R]:
    """Wrap the main of a command: UserError or one of `also` becomes one line on stderr and exit code 2.

    Ctrl-C where nobody else looks after it ends the command with 130, what shells report, and no traceback.
    """
    caught: tuple[type[Exception], ...] = (UserError, *also)

    @functools.wraps(main)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        if isinstance(sys.stdout, io.TextIOWrapper):  # a terminal that knows no "±" must not end a training
            sys.stdout.reconfigure(errors="replace")
        try:
            with reader_may_leave():
                return main(*args, **kwargs)
        except caught as error:
            print(f"error: {' '.join(str(error).split())}", file=sys.stderr, flush=True)
            sys.exit(2)
        except KeyboardInterrupt:
            print("stopped", file=sys.stderr, flush=True)
            sys.exit(130)

    return wrapped


# ---- flags and files


def _take_flag(argv: list[str], name: str) -> tuple[list[str], str | None]:
    """Give argv without `--name VALUE` or `--name=VALUE`, and the last such value."""
    rest: list[str] = []
    value: str | None = None
    words = iter(argv)
    for word in words:
        flag, equals, attached = word.partition("=")
        if flag != f"--{name}":
            rest.append(word)
            continue
        value = attached if equals else next(words, None)
        if not value or value.startswith("--"):
            raise ConfigError(f"--{name} needs a value")
    return rest, value


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read preset {short(file)}: {error}") from error


def _program() -> str | None:
    """Give the command as it was typed: `python -m package.module` where it was started so."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return f"python -m {spec.name.removesuffix('.__main__')}" if spec else None


# ---- values


def _overlay(config: Any, values: dict[str, Any], source: str, path: tuple[str, ...]) -> Any:
    """Give the dataclass with these values in place of its own."""
    hints = get_type_hints(type(config))
    changes = {}
    for key, value in values.items():
        where = (*path, key)
        if key not in hints:
            raise ConfigError(f"{source}: unknown key '{'.'.join(where)}'.{_nearest(config, path, key)}")
        current = getattr(config, key)
        if dataclasses.is_dataclass(current) and isinstance(value, dict):
            changes[key] = _overlay(current, value, source, where)
        else:
            changes[key] = _convert(value, hints[key], source, ".".join(where))
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


def _convert(value: Any, hint: Any, source: str, where: str) -> Any:
    """Give the TOML or JSON value as the type of the field. Raises ConfigError when it is of another type."""
    for kind in _arms(hint):
        try:
            return _as_kind(value, kind, source, where)
        except TypeError:
            continue
    raise ConfigError(f"{source}: '{where}' must be {_describe(hint)}, not {value!r}")


def _as_kind(value: Any, kind: Any, source: str, where: str) -> Any:
    origin, args = get_origin(kind), get_args(kind)
    if origin is Literal and value in args:
        return args[args.index(value)]
    if origin is tuple and isinstance(value, list | tuple):
        kinds = [args[0]] * len(value) if args[1:] == (...,) else list(args)
        if len(kinds) == len(value):
            pairs = zip(value, kinds, strict=True)
            return tuple(_convert(item, each, source, f"{where}[{i}]") for i, (item, each) in enumerate(pairs))
    if origin is list and isinstance(value, list):
        return [_convert(item, args[0], source, f"{where}[{index}]") for index, item in enumerate(value)]
    if origin is dict and isinstance(value, dict):
        return {key: _convert(item, args[1], source, f"{where}.{key}") for key, item in value.items()}
    if dataclasses.is_dataclass(kind) and isinstance(value, dict):
        return _overlay(cast(type[Any], kind)(), value, source, tuple(where.split(".")))
    if kind is float and (type(value) in (int, float) or value in ("nan", "inf", "-inf")):
        return float(value)
    if kind is Path and isinstance(value, str):
        return Path(value)
    if kind in (int, str, bool, type(None)) and type(value) is kind:
        return value
    raise TypeError


def _arms(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def _describe(hint: Any) -> str:
    words = []
    for kind in _arms(hint):
        if get_origin(kind) is Literal:
            words.append("one of " + ", ".join(map(str, get_args(kind))))
        elif kind is type(None):
            continue  # TOML has no word for it: leave the key out
        else:
            words.append(
                {int: "a whole number", float: "a number", str: "text", bool: "true or false"}.get(kind, str(kind))
            )
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
