"""The command-line shell of envs: help, broken pipes, Ctrl-C, errors, progress."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from envs import scenes
from envs.commands import Bar, cli, command


def test_ctrl_c_ends_the_command_without_a_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: Any, **__: Any) -> Path:
        raise KeyboardInterrupt

    monkeypatch.setattr(scenes, "write", stop)
    with pytest.raises(SystemExit) as ended:
        scenes.main(["--env", "Pong", "--frames", "20", "--out", str(tmp_path / "data")])
    assert ended.value.code == 130
    assert capsys.readouterr().err.splitlines() == ["stopped; the same command goes on from here"]


def test_help_names_the_command_and_ends_quietly_when_nobody_reads_it() -> None:
    command = [sys.executable, "-m", "envs.scenes", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.startswith("usage: python -m envs.scenes [-h]")
    reader, writer = os.pipe()
    os.close(reader)
    quiet = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=120)
    os.close(writer)
    assert quiet.returncode == 141 and quiet.stderr == ""


@dataclass(frozen=True)
class Settings:
    """Settings of a test."""

    frames: int = 3


def test_flags_are_read_and_a_wrong_one_is_one_line() -> None:
    assert cli(Settings, ["--frames", "5"]) == Settings(5)
    with pytest.raises(ValueError, match="frames") as caught:
        cli(Settings, ["--frames", "many"])
    assert "\n" not in str(caught.value) and "│" not in str(caught.value)


@pytest.mark.parametrize("error", [ValueError("not\n  this"), OSError("not this")])
def test_errors_that_a_user_can_fix_are_one_line_and_exit_with_2(
    error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    @command
    def main() -> None:
        raise error

    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2 and capsys.readouterr().err == "error: not this\n"


def test_other_errors_keep_their_traceback() -> None:
    @command
    def main() -> None:
        raise KeyError("a mistake of the program")

    with pytest.raises(KeyError):
        main()


def test_progress_without_a_terminal_is_a_line_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [100.0]
    monkeypatch.setattr("envs.commands.time.monotonic", lambda: now[0])
    with Bar("recording", 40, "frames") as bar:
        for done, seconds in ((5, 1.0), (20, 10.0), (21, 11.0), (40, 20.0)):
            now[0] = 100.0 + seconds
            bar.update(done)
    assert capsys.readouterr().out.splitlines() == [
        "recording 20/40 frames · 2 frames/s",
        "recording 40/40 frames · 2 frames/s",
    ]
