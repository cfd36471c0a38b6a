"""The one reader of what lies in a run folder: files of bounded size, JSON of bounded depth, values by a schema.

A run folder may be cut short, edited by hand, or come from a stranger. Whatever is in it, reading it takes bounded time
and memory, and a fault is one line that names the file and the entry.
"""

from __future__ import annotations

import json
import math
import reprlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from rl_gen_lab.cli.errors import CheckpointError
from rl_gen_lab.cli.regular_file import open_regular, reason_of

MOST_BYTES = 2**28  # of a JSON file
MOST_DEPTH = 64
MOST_DIGITS = 100  # of a whole number: the state of a random generator has 39
LARGEST = 1e100  # of a number with a point: squares of larger ones are no numbers, and axes cannot show them
WHOLE = range(2**63)  # schema of counters, steps and seeds
Decoded = TypeVar("Decoded")
_short = reprlib.Repr()
_short.maxstring = _short.maxother = _short.maxlong = 60


@dataclass(frozen=True)
class ListOf:
    """Schema of a list of so many entries, each by a schema."""

    item: Any = object
    least: int = 0
    most: int = 10**7


class NotNegative:
    """Schema of a number that is not below 0, such as seconds."""


@dataclass(frozen=True)
class Needed:
    """Schema of an object in which these names must be there; none: all of the schema."""

    schema: dict[Any, Any]
    names: tuple[str, ...] = ()


def open_file(file: Path) -> BinaryIO:
    """Open a regular file. Raises CheckpointError: missing, a folder, or a pipe, which would wait forever."""
    try:
        return open_regular(file)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"cannot read {file}: {reason_of(error)}") from error


def read_bytes(file: Path, most: int = MOST_BYTES) -> bytes:
    """Read a file whole. Raises CheckpointError, also for more than `most` bytes."""
    with open_file(file) as opened:
        try:
            data = opened.read(most + 1)
        except OSError as error:
            raise CheckpointError(f"cannot read {file}: {error.strerror}") from error
    if len(data) > most:
        raise CheckpointError(f"{file} has more than {most:,} bytes: it is not of a run")
    return data


def read_json(file: Path, schema: Any = None) -> dict[str, Any]:
    """Read a JSON object, by a schema (see `misfit`). Raises CheckpointError naming the file and the entry."""
    try:
        value = parse(read_bytes(file))
    except ValueError as error:
        raise CheckpointError(f"{file} is damaged or was cut short: {error}") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{file} does not hold a JSON object")
    if wrong := misfit(value, {} if schema is None else schema):
        raise CheckpointError(f"{file} is damaged: {wrong}")
    return value


def parse(data: bytes) -> Any:
    """Parse JSON. Raises ValueError: no JSON, nested deeper than `MOST_DEPTH`, numbers or text that nothing can use."""
    try:
        value = json.loads(data.decode("utf-8"), parse_constant=_no_number, parse_int=_whole)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > MOST_DEPTH:
            raise ValueError("it is nested too deeply")
        deeper: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                deeper += item.keys()
                deeper += item.values()
            elif isinstance(item, list):
                deeper += item
            elif isinstance(item, str) and not _is_usable(item):
                raise ValueError(f"the text {shortened(item)} has characters that no text has")
            elif isinstance(item, float) and not math.isfinite(item):
                raise ValueError("a number is larger than any")
        level = deeper
    return value


def _no_number(word: str) -> float:
    raise ValueError(f"{word} is no number of JSON")


def _whole(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise ValueError(f"a number of {len(digits):,} digits")
    return int(digits)


def _is_usable(text: str) -> bool:
    """Return whether a text may stand in a path, a table, a message: no NUL, no half characters but those of paths."""
    try:
        text.isascii() or text.encode("utf-8", "surrogateescape")  # as Python keeps file names of other encodings
    except UnicodeEncodeError:
        return False
    return "\0" not in text


def misfit(value: Any, schema: Any, where: str = "") -> str | None:
    """Return what is wrong with a value by a schema, naming the entry; None where it fits.

    A schema is `object` (anything), `str`, `bool`, `int`, `float` (below `LARGEST`), `NotNegative` (one from 0), None,
    a text (that one), a range of whole numbers, a `ListOf`, a dict of names, which may be absent, to schemas (under
    `...` that of all other names), or a tuple of schemas, one of which must fit; `Needed` is a dict whose names may not
    be absent.
    """
    if isinstance(schema, tuple):
        problems = [misfit(value, option, where) for option in schema]
        if None in problems:
            return None
        # Of alternatives that are objects the problem inside is the one to tell.
        inside = [problem for problem in problems if problem and not problem.startswith(f"'{where}'")]
        return inside[0] if inside else _wrong(value, schema, where)
    if isinstance(schema, Needed):
        needed = (schema.names or schema.schema) if isinstance(value, dict) else ()
        if missing := [name for name in needed if name not in value]:
            return f"'{f'{where}.' if where else ''}{missing[0]}' is missing"
        schema = schema.schema
    if isinstance(schema, dict) and isinstance(value, dict):
        for name, item in value.items():
            option = schema.get(name, schema.get(..., object))
            if option is not object and (wrong := misfit(item, option, f"{where}.{name}" if where else name)):
                return wrong
        return None
    if isinstance(schema, ListOf) and isinstance(value, list):
        if not schema.least <= len(value) <= schema.most:
            return f"'{where}' has {len(value):,} entries"
        if schema.item is object:
            return None
        return next((wrong for i, x in enumerate(value) if (wrong := misfit(x, schema.item, f"{where}[{i}]"))), None)
    return None if _fits(value, schema) else _wrong(value, schema, where)


def _fits(value: Any, schema: Any) -> bool:
    if schema is object:
        return True
    if schema is float:
        return (type(value) is float and abs(value) < LARGEST) or (type(value) is int and abs(value) < 2**63)
    if schema is NotNegative:
        return _fits(value, float) and value >= 0
    if isinstance(schema, range):
        return type(value) is int and value in schema
    if isinstance(schema, str):
        return bool(value == schema)
    return value is None if schema is None else isinstance(schema, type) and type(value) is schema


def _wrong(value: Any, schema: Any, where: str) -> str:
    return f"'{where}' must be {_in_words(schema)}, not {shortened(value)}"


def _in_words(schema: Any) -> str:
    if isinstance(schema, tuple):
        return " or ".join(map(_in_words, schema))
    if isinstance(schema, range):
        return "a whole number" if schema == WHOLE else f"a whole number from {schema.start} to {schema.stop - 1}"
    if isinstance(schema, str):
        return f"'{schema}'" if schema else "empty"
    if isinstance(schema, ListOf | dict):
        return "a list" if isinstance(schema, ListOf) else "an object"
    words: dict[Any, str] = {str: "text", bool: "true or false", int: "a whole number", float: "a number"}
    words |= {NotNegative: "a number from 0", None: "null"}
    return words.get(schema, "a list" if schema is list else "an object")


def shortened(value: Any) -> str:
    """Represent any value in a few characters that a terminal can print, for a message."""
    return _short.repr(value)


def printable(text: str, most: int = 200) -> str:
    """Return a text of unknown origin as one line that is not too long, without what moves a terminal's cursor."""
    line = "".join(letter if letter.isprintable() else " " for letter in text[: most + 1])
    return line if len(line) <= most else f"{line[: most - 3]}..."


def decoded(what: str, decode: Callable[[], Decoded]) -> Decoded:
    """Return what a library makes of bytes that may be anything; its errors, of whatever class, as CheckpointError."""
    try:
        return decode()
    except CheckpointError:
        raise
    except (Exception, RecursionError) as error:
        raise CheckpointError(f"cannot read {what}: {printable(first_line(error))}") from error


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, with its class where that says more."""
    words = (str(error).strip() or type(error).__name__).splitlines()[0]
    return words if isinstance(error, OSError | ValueError) else f"{type(error).__name__}: {words}"
