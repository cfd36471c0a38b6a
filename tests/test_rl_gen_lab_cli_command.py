"""The main of a command: exit codes, one line for what a user can mend, readers that leave."""

import errno
import io
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from envs import commands
from rl_gen_lab.cli.command import exit_on_error
from rl_gen_lab.cli.errors import ConfigError, UserError


class ForeignError(ValueError):
    """An error of another package."""


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (UserError("mend\n this"), 2, "error: mend this\n"),
        (ConfigError("wrong"), 2, "error: wrong\n"),
        (ForeignError("no such world"), 2, "error: no such world\n"),
        (UserError("a run of dqn\x1b[2J\u202e ± 1"), 2, "error: a run of dqn?[2J? ± 1\n"),
    ],
)
def test_user_errors_become_one_line_and_exit_code_2(
    capsys: pytest.CaptureFixture[str], error: Exception, code: int, line: str
) -> None:
    def main() -> None:
        raise error

    with pytest.raises(SystemExit) as stopped:
        exit_on_error(main, ForeignError)()
    assert stopped.value.code == code
    assert capsys.readouterr().err == line


@pytest.mark.parametrize("code", [errno.EACCES, errno.ENOSPC, errno.ELOOP, errno.ENAMETOOLONG])
def test_what_the_system_refuses_about_a_file_is_one_line(code: int, capsys: pytest.CaptureFixture[str]) -> None:
    def main() -> None:
        raise OSError(code, os.strerror(code), "runs/a\nb/config.json")

    with pytest.raises(SystemExit) as stopped:
        exit_on_error(main)()
    assert stopped.value.code == 2
    assert capsys.readouterr().err == f"error: runs/a b/config.json: {os.strerror(code)}\n"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EFBIG])
def test_a_full_disk_is_one_line_also_where_no_file_is_named(code: int, capsys: pytest.CaptureFixture[str]) -> None:
    def main() -> None:
        raise OSError(code, os.strerror(code))

    with pytest.raises(SystemExit) as stopped:
        exit_on_error(main)()
    assert stopped.value.code == 2
    assert capsys.readouterr().err == f"error: a file could not be written: {os.strerror(code)}\n"


def test_other_errors_of_the_system_keep_their_traceback() -> None:
    for error in (OSError(errno.EBADF, "Bad file descriptor", "x"), OSError(errno.EACCES, "of no file")):

        def main(error: OSError = error) -> None:
            raise error

        with pytest.raises(OSError, match=str(error.strerror)):
            exit_on_error(main)()


@pytest.mark.parametrize("wrap", [exit_on_error, commands.command])
@pytest.mark.parametrize("size", [1, 1_000_000])
@pytest.mark.parametrize("leave", [None, 0])
def test_a_reader_who_leaves_ends_a_command_quietly(
    wrap: Callable[[Callable[[], None]], Callable[[], None]],
    size: int,
    leave: int | None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    reader, writer = os.pipe()
    os.close(reader)

    def main() -> None:
        print("x" * size)
        if leave is not None:
            sys.exit(leave)

    with open(writer, "w") as stdout:
        monkeypatch.setattr("sys.stdout", stdout)
        with pytest.raises(SystemExit) as stopped:
            wrap(main)()
        monkeypatch.undo()
    assert stopped.value.code == 141 and capsys.readouterr().err == ""


def test_another_pipe_that_breaks_is_no_reader_who_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def main() -> None:
        raise BrokenPipeError("ffmpeg died")

    with (tmp_path / "out").open("w") as stdout:
        monkeypatch.setattr("sys.stdout", stdout)
        with pytest.raises(BrokenPipeError, match="ffmpeg died"):
            exit_on_error(main)()
        monkeypatch.undo()


@pytest.mark.parametrize("package", ["agents", "envs", "rl_gen_lab"])
def test_every_command_is_wrapped(package: str) -> None:
    root = Path(__file__).parent.parent
    for file in (root / package).rglob("*.py"):
        text = file.read_text()
        if "__name__ == " in text:
            wrapped = re.search(r"\n@(command|exit_on_error)\ndef main\(", text)
            assert wrapped or "\n    launch(" in text, file


def test_bugs_keep_their_traceback_and_results_pass_through() -> None:
    @exit_on_error
    def main(value: Any) -> Any:
        return 1 // value

    assert main(1) == 1
    with pytest.raises(ZeroDivisionError):
        main(0)


def test_a_terminal_without_the_character_shows_another_and_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(written := io.BytesIO(), "ascii"))
    exit_on_error(lambda: print("12.0 ± 3.0", flush=True))()
    assert written.getvalue() == b"12.0 ? 3.0\n"
