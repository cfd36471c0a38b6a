"""Typed access to annotation records; errors name file, entry and field.

What people and tools write differs from what COCO's format says in every way that JSON allows: text for numbers, NaN,
numbers beyond any float, lists for names, bytes that are no UTF-8.
"""

from __future__ import annotations

import json
import math
import reprlib
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rl_gen_lab.cli.errors import UserError
from rl_gen_lab.cli.regular_file import read_regular

SINGULAR = {"images": "image", "annotations": "annotation", "categories": "category"}
MOST_BYTES = 2**32  # of a file of annotations
LONGEST_TEXT = 120  # characters of a text in a message
_short = reprlib.Repr()
_short.maxstring = _short.maxother = _short.maxlong = 60


class DataError(UserError):
    """A dataset is missing, damaged or inconsistent."""


def short(value: Any) -> str:
    """Represent any value in a few characters, for a message."""
    return _short.repr(value)


def one_line(text: object) -> str:
    """Cut a text for a message: one line of at most `LONGEST_TEXT` characters, all of which a terminal can print."""
    line = " ".join(str(text).encode(errors="backslashreplace").decode().split())
    return line if len(line) <= LONGEST_TEXT else f"{line[: LONGEST_TEXT - 3]}..."


def read_bytes(file: Path) -> bytes:
    """Read a file. Raises DataError naming it when it is missing, no file (a pipe would wait forever) or locked."""
    try:
        if not file.is_file():
            raise DataError(f"{file} is not a file")
        return read_regular(file, MOST_BYTES)
    except OSError as error:
        raise DataError(f"cannot read {file}: {error.strerror}") from error


def read_object(file: Path) -> dict[str, Any]:
    """Read a JSON object. Raises DataError naming the file when it is missing or damaged."""
    try:
        content = json.loads(read_bytes(file).decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file} is damaged or was cut short: {one_line(error)}") from error
    if not isinstance(content, dict):
        raise DataError(f"{file} does not hold a JSON object")
    return content


def as_number(value: Any) -> float | None:
    """Return a finite number, also one that is written as text, as a float; None for everything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):  # no number, or one beyond any float
        return None
    return number if math.isfinite(number) else None


def is_id(value: Any) -> bool:
    """Return whether a value can tell entries apart: text or a finite number."""
    return isinstance(value, str) or (isinstance(value, int | float) and as_number(value) is not None)


def is_printable(text: str) -> bool:
    """Return whether a text has no control characters (line breaks among them) and no half characters."""
    return not any(unicodedata.category(letter) in ("Cc", "Cs") for letter in text)


@dataclass(frozen=True)
class Record:
    """An entry of an annotation file. what: its name in messages, e.g. "annotation 7".

    Each method reads a field and raises DataError where it is missing or of another type.
    """

    file: Path
    what: str
    content: dict[str, Any]

    def error(self, problem: str) -> DataError:
        """Return an error that names file and entry."""
        return DataError(f"{self.file}: {self.what} {problem}")

    def field(self, key: str) -> Any:
        """Return a field as it is."""
        if key not in self.content:
            raise self.error(f"has no {key}")
        return self.content[key]

    def id(self, key: str) -> Any:
        """Return a field that tells entries apart: text or a number."""
        value = self.field(key)
        if not is_id(value):
            raise self.error(f"has the {key} {short(value)}, which is neither a number nor text")
        return value

    def text(self, key: str) -> str:
        """Return a text of one line that is not empty; a whole number is taken as text."""
        value = self.field(key)
        text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
        if not isinstance(text, str) or not text.strip() or not is_printable(text):
            raise self.error(f"has the {key} {short(value)}, which is no text of one line")
        return text

    def side(self, key: str) -> int:
        """Return a height or width [px]: a whole number from 1."""
        number = as_number(self.field(key))
        if number is None or number < 1 or not number.is_integer():
            raise self.error(f"has the {key} {short(self.content[key])}, which is no number of pixels")
        return int(number)

    def box(self, key: str) -> tuple[float, float, float, float]:
        """Return a box, written as x, y, width, height, as x1, y1, x2, y2 [px]."""
        value = self.field(key)
        numbers = [as_number(item) for item in value] if isinstance(value, list) else []
        x, y, width, height = numbers if len(numbers) == 4 else [None] * 4
        if x is None or y is None or width is None or height is None:
            raise self.error(f"has the {key} {short(value)}, which is not a list of four numbers")
        if min(width, height) <= -1:  # what rounding leaves of nothing is no error
            raise self.error(f"has the {key} {short(value)}, whose width or height is negative")
        return x, y, x + width, y + height


def records(file: Path, content: dict[str, Any], key: str) -> list[Record]:
    """Return the entries of a list of an annotation file. Raises DataError."""
    if not isinstance(content.get(key), list):
        raise DataError(f"{file} is not in COCO's format: it has no list of {key}")
    entries = []
    for index, item in enumerate(content[key]):
        what, number = SINGULAR[key], f"{index} (counted from 0)"
        if not isinstance(item, dict):
            raise DataError(f"{file}: {what} {number} is {short(item)}, not an object with fields")
        name = item.get("id")
        name = number if not is_id(name) else one_line(name) if isinstance(name, str) else short(name)
        entries.append(Record(file, f"{what} {name}", item))
    return entries


def refuse_duplicates(entries: Sequence[Record]) -> None:
    """Raise DataError where two entries of a list have one id."""
    times: dict[Any, int] = {}
    for entry in entries:
        id_ = entry.id("id")
        times[id_] = times.get(id_, 0) + 1
    for entry in entries:
        if times[entry.content["id"]] > 1:
            raise entry.error(f"is listed {times[entry.content['id']]} times")
