"""Paths and commands as a user types them."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

from rl_gen_lab.cli.shell import python, shell


def test_a_command_to_copy_is_quoted_and_its_paths_are_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "two words"
    assert shell("python", "--resume", folder) == "python --resume 'two words'"
    assert shlex.split(shell(tmp_path.parent / "a 'b'", "-m")) == [str(tmp_path.parent / "a 'b'"), "-m"]


def test_the_interpreter_is_named_by_its_path_unless_python_is_this_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert python() == Path(sys.executable)
    monkeypatch.setattr("shutil.which", lambda name: sys.executable)
    assert python() == "python"
