"""Files are read whole where they are files of a sensible size; what is none is refused, and nothing waits for it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from rl_gen_lab.cli.regular_file import MOST_TOML_BYTES, open_regular, read_regular, read_toml


def sparse(file: Path) -> None:
    with file.open("wb") as opened:
        opened.truncate(2**40)


ODD: dict[str, Callable[[Path], object]] = {
    "a pipe": os.mkfifo,
    "a folder": Path.mkdir,
    "an endless device": lambda file: file.symlink_to("/dev/zero"),
    "a full device": lambda file: file.symlink_to("/dev/full"),
    "a link to itself": lambda file: file.symlink_to(file.name),
    "nothing": lambda file: None,
    "a terabyte of nothing": sparse,
}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("kind", ODD)
def test_what_is_no_file_of_a_sensible_size_is_refused_at_once(kind: str, tmp_path: Path) -> None:
    ODD[kind](tmp_path / "file")
    with pytest.raises(OSError):
        read_regular(tmp_path / "file", 100)
    with pytest.raises(OSError):
        read_toml(tmp_path / "file")


def test_a_file_is_read_to_its_end(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 100)
    assert read_regular(tmp_path / "file", 100) == b"x" * 100
    with pytest.raises(OSError, match="it has more than 99 bytes"):
        read_regular(tmp_path / "file", 99)
    with open_regular(tmp_path / "file") as opened:
        assert opened.read(3) == b"xxx"
    with pytest.raises(ValueError):
        open_regular(Path("\0"))


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"a = " + b"[" * 50_000 + b"]" * 50_000, "nested too deeply"),
        (b"a = " + b"[" * 900 + b"]" * 900, "nested too deeply"),
        (b"a" + b".a" * 60_000 + b" = 1", "nested too deeply"),
        (b"a = " + b"9" * 5_000, "digits"),
        (b"\xff\xfea", "utf-8"),
        (b"a = ", "Invalid value"),
    ],
)
def test_what_is_no_toml_is_refused_in_bounded_time(text: bytes, said: str, tmp_path: Path) -> None:
    assert len(text) < MOST_TOML_BYTES
    (tmp_path / "a.toml").write_bytes(text)
    with pytest.raises(ValueError, match=said):
        read_toml(tmp_path / "a.toml")


def test_tables_in_lists_and_lists_in_tables_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text('[[stages]]\nkind = "prune"\nshares = [0.5, [1, 2]]\n[common]\nseed = 3\n')
    assert read_toml(tmp_path / "a.toml") == {
        "stages": [{"kind": "prune", "shares": [0.5, [1, 2]]}],
        "common": {"seed": 3},
    }
