"""Flags of envs are read as those of the other packages: ranges, paths and booleans."""

from __future__ import annotations

from pathlib import Path

import pytest

from envs.commands import cli
from envs.scenes import Config, main


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--seed", "-1"], "--seed must be from 0 to below 2^63, not -1"),
        (["--every", "100000000"], "--every must be from 1 to 10,000, not 100000000"),
        (["--frames", "many"], "--frames must be a number from 1 to 10^9, not 'many'"),
        (["--epsilon", "nan"], "--epsilon must be from 0 to 1, not nan"),
        (["--world.image-size", "100000"], "--world.image-size must be from 1 to 1,024, not 100000"),
        (["--world.sticky", "1"], "{None}|{FLOAT from 0 to below 1}"),
        (["--out", "a" * 3_000], f"no possible path: '{'a' * 40}' (File name too long)"),
        (["--out", "~nobody_of_that_name"], "no possible path: '~nobody_of_that_name'"),
    ],
)
def test_what_cannot_work_is_one_line(flags: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(flags)
    (line,) = capsys.readouterr().err.splitlines()
    assert stopped.value.code == 2 and said in line and len(line) < 200


def test_paths_know_the_home_folder_and_booleans_all_spellings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    flags = "--out=~/x --history=True --world.grayscale=false --world.no-fire-reset --no_history"
    read = cli(Config, flags.split())
    assert read.out == tmp_path / "x" and not read.history
    assert read.world.grayscale is False and read.world.fire_reset is False
    assert cli(Config, ["--history", "true", "--world.fire_reset"]).world.fire_reset is True
