"""Fields of annotation files: numbers, text and names of every type that JSON allows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rl_gen_lab.data.records import DataError, Record, as_number, is_id, one_line, short


@pytest.mark.parametrize("value", [float("nan"), 1e400, 10**400, True, None, [], {}, "", "many", "nan", "1e999"])
def test_what_is_no_finite_number_is_none(value: Any) -> None:
    assert as_number(value) is None


def test_numbers_may_be_written_as_text_but_ids_keep_their_type() -> None:
    assert (as_number("4.5"), as_number(7), as_number(-1e30)) == (4.5, 7.0, -1e30)
    assert is_id("7") and is_id(10**30) and is_id(1.5) and not is_id(True) and not is_id(None) and not is_id([7])


def test_a_message_is_one_short_line_whatever_it_cites() -> None:
    assert one_line("a\nb \t c\ud800") == r"a b c\ud800"
    assert len(one_line("x" * 10_000)) == 120 and len(short("x" * 10_000)) < 70 and len(short(10**4_000)) < 70
    nested: list[Any] = []
    for _ in range(5_000):
        nested = [nested]
    assert len(short(nested)) < 40


@pytest.mark.parametrize(
    ("method", "value", "expected"),
    [
        *(("side", 5.0, 5), ("side", "5", 5), ("text", 5, "5"), ("id", "a", "a"), ("text", "\u732b", "\u732b")),
        ("box", ["1", 2, 3.5, 0], (1, 2, 4.5, 2)),
        ("box", [1, 2, -1e-9, 3], (1, 2, 1 - 1e-9, 5)),
        *(("side", value, None) for value in (0, -1, 1.5, True, 1e400, "x", None)),
        *(("text", value, None) for value in ("", "  ", "a\nb", "\x1b[31m", "\ud800", 1.5, True, None, ["a"])),
        *(("box", value, None) for value in ("1234", [1, 2, 3], [1, 2, 3, 4, 5], [1, 2, 3, None], [1, 2, -3, 4])),
    ],
)
def test_a_field_is_read_as_what_it_must_be_or_named(method: str, value: Any, expected: Any) -> None:
    record = Record(Path("labels.json"), "image 7", {"key": value})
    if expected is not None:
        assert getattr(record, method)("key") == expected
        return
    with pytest.raises(DataError, match=r"^labels\.json: image 7 has the key ") as raised:
        getattr(record, method)("key")
    assert str(raised.value).isprintable()


def test_a_missing_field_is_named() -> None:
    with pytest.raises(DataError, match=r"^labels\.json: image 7 has no width$"):
        Record(Path("labels.json"), "image 7", {}).side("width")
