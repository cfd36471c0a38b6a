"""Flags are read by the type of their setting: numbers in a range, in unions and tuples too; paths as in a shell."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import pytest
from annotated_types import Interval

from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.cli.flags import parse_flags
from rl_gen_lab.cli.settings import Count, NotNegative, Ranged, Share


@dataclass(frozen=True)
class Inner(Ranged):
    """Settings below others."""

    # How many.
    count: Count | None = None


@dataclass(frozen=True)
class Outer(Ranged):
    """Settings of a test."""

    # A share.
    share: Share = 0.5
    # Weights.
    weights: tuple[NotNegative, ...] = ()
    # Two of them.
    pair: tuple[Annotated[int, Interval(ge=1, le=9)], Annotated[int, Interval(ge=1, le=9)]] = (1, 2)
    # Where to write.
    out: Path = Path("here")
    # What to read.
    files: tuple[Path, ...] = ()
    # What to continue.
    resume: Path | None = None
    # Settings below.
    inner: Inner = field(default_factory=Inner)


def test_numbers_and_paths_keep_their_types() -> None:
    flags = "--share 1 --weights 0 2.5 --pair 3 4 --out a/b --files x y --resume z --inner.count 7"
    assert parse_flags(Outer, flags.split()) == Outer(
        1.0, (0.0, 2.5), (3, 4), Path("a/b"), (Path("x"), Path("y")), Path("z"), Inner(7)
    )
    assert parse_flags(Outer, ["--inner.count", "None"]) == Outer()
    assert parse_flags(Outer, [], default=Outer(share=0.25)) == Outer(share=0.25)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("--share 1.5", "--share must be from 0 to 1, not 1.5"),
        ("--share half", "--share must be a number from 0 to 1, not 'half'"),
        ("--weights 1 nan", "--weights takes [FLOAT from 0 to 10^12 [FLOAT from 0 to 10^12 ...]], not 1 nan"),
        ("--pair 3 10", "--pair takes INT from 1 to 9 INT from 1 to 9, not 3 10"),
        ("--inner.count 0", "--inner.count takes a whole number from 1 to 1,000,000, or None, not 0"),
        ("--inner.count 1.5", "--inner.count takes a whole number from 1 to 1,000,000, or None, not 1.5"),
    ],
)
def test_a_refusal_names_the_flag_its_range_and_what_was_typed(flags: str, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_flags(Outer, flags.split())
    assert str(refused.value) == said


def test_every_path_knows_the_home_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    read = parse_flags(Outer, ["--out=~/runs", "--files", "~/a", "b", "--resume=~"])
    assert read == Outer(out=tmp_path / "runs", files=(tmp_path / "a", Path("b")), resume=tmp_path)


@pytest.mark.parametrize("flag", ["--out", "--files", "--resume"])
@pytest.mark.parametrize("path", ["a" * 300, "ab/" * 2_000, "ä" * 200, "~nobody_of_that_name/x"])
def test_a_path_that_cannot_be_is_one_short_line(flag: str, path: str) -> None:
    with pytest.raises(ConfigError, match=r"no possible path|home folder of nobody") as refused:
        parse_flags(Outer, [flag, path])
    assert len(str(refused.value)) < 200
