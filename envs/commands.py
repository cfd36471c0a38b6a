"""Command-line shell of envs: flags, one-line errors, and a progress bar.

`rl_gen_lab/cli` has the same for the other packages; the repetition is the price of the rule that `envs` and
`rl_gen_lab` never import each other.
"""

from __future__ import annotations

import contextlib
import functools
import io
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import ParamSpec, TypeVar

import tyro
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from envs.flags import make_registry, plain_booleans

ConfigT = TypeVar("ConfigT")
P = ParamSpec("P")
R = TypeVar("R")
SECONDS_BETWEEN_LINES = 10.0


def cli(config_class: type[ConfigT], argv: list[str] | None) -> ConfigT:
    """Read flags. Exits with code 0 after --help. Raises: ValueError for a wrong flag, OSError for a path."""
    stderr, words = io.StringIO(), plain_booleans(config_class, sys.argv[1:] if argv is None else argv)
    others = [word for word in words if word not in ("-h", "--help")]
    if len(words) > len(others) > 0:
        try:
            cli(config_class, others)
        except ValueError as error:
            if str(error).startswith("Unrecognized"):
                raise
    try:
        with contextlib.redirect_stderr(stderr):
            return tyro.cli(
                config_class,
                args=words,
                prog=_program(),
                description=config_class.__doc__,
                use_underscores=False,
                registry=make_registry(),
            )
    except SystemExit as error:
        if not error.code:
            raise
        # tyro draws a box: keep the message, drop the border, the title and the hint to --help.
        lines = [line.strip("│╭╮╰╯─- ") for line in stderr.getvalue().splitlines()[1:]]
        message = " ".join(line for line in lines if line and not line.endswith("--help"))
        message = re.split("For full helptext|Argument helptext:|Got errors:", message)[0]
        message = message.removeprefix("Error parsing ").replace(": must be ", " must be ")
        raise ValueError(message.strip() or "wrong flags; see --help") from None


def _program() -> str | None:
    """Return the command as it was typed, `python -m package.module`; None if it was started otherwise."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return f"python -m {spec.name}" if spec else None


@contextlib.contextmanager
def _handle_broken_pipe() -> Iterator[None]:
    """Exit quietly once the reader of stdout has closed it, as `| head -1` does: with 141, as shells report it."""
    try:
        try:
            yield
        except SystemExit:
            sys.stdout.flush()
            raise
        sys.stdout.flush()  # now: at the exit of Python an error could only be printed
    except BrokenPipeError:
        try:
            os.write(sys.stdout.fileno(), b"\n")
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(141)
        raise  # another pipe is broken


def command(main: Callable[P, R]) -> Callable[P, R]:
    """Decorate a `main`: errors that a user can fix (ValueError, a full disk) become one line on stderr, exit code 2.

    Ctrl-C exits with 130, as shells report it, without a traceback.
    """

    @functools.wraps(main)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            with _handle_broken_pipe():
                return main(*args, **kwargs)
        except (ValueError, OSError) as error:
            message = re.sub(r"\S{500,}", lambda word: f"{word[0][:60]}...", " ".join(str(error).split()))
            print(f"error: {message}", file=sys.stderr, flush=True)
            sys.exit(2)
        except KeyboardInterrupt:
            print("stopped; the same command goes on from here", file=sys.stderr, flush=True)
            sys.exit(130)

    return wrapped


class Bar:
    """Progress of `total` units, a context manager: a bar on a terminal, a line every ten seconds elsewhere."""

    def __init__(self, title: str, total: int, unit: str) -> None:
        self.title, self.total, self.unit = title, total, unit
        self._live = sys.stdout.isatty()
        columns = (TextColumn("[bold]{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._progress = Progress(*columns, disable=not self._live)
        self._task = self._progress.add_task(title, total=total)
        self._began = self._shown = time.monotonic()

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def update(self, done: int) -> None:
        """Show `done` units as done."""
        now = time.monotonic()
        if self._live:
            self._progress.update(self._task, completed=done)
        elif now - self._shown >= SECONDS_BETWEEN_LINES:
            self._shown = now
            rate = done / (now - self._began)
            print(f"{self.title} {done:,}/{self.total:,} {self.unit} · {rate:,.0f} {self.unit}/s", flush=True)
