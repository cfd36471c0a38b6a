"""The shell of a command: flags, errors as one line, and a bar that shows how far it is."""

from __future__ import annotations

import contextlib
import functools
import io
import os
import sys
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import ParamSpec, TypeVar

import tyro
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

ConfigT = TypeVar("ConfigT")
P = ParamSpec("P")
R = TypeVar("R")
SECONDS_BETWEEN_LINES = 10.0


def cli(config_class: type[ConfigT], argv: list[str] | None) -> ConfigT:
    """Read flags. Exits with code 0 after --help. Raises: ValueError, in one line, for a wrong one."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return tyro.cli(
                config_class, args=argv, prog=_program(), description=config_class.__doc__, use_underscores=True
            )
    except SystemExit as error:
        if not error.code:
            raise
        # tyro draws a box: keep the words, drop the frame, the title and the advice to ask for help.
        lines = [line.strip("│╭╮╰╯─- ") for line in said.getvalue().splitlines()[1:]]
        words = " ".join(line for line in lines if line and not line.endswith("--help"))
        raise ValueError(words.partition("For full helptext")[0].strip() or "wrong flags; see --help") from None


def _program() -> str | None:
    """The command as it was typed: `python -m package.module` where it was started so."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return f"python -m {spec.name}" if spec else None


@contextlib.contextmanager
def _reader_may_leave() -> Iterator[None]:
    """End without a word when nobody reads any more what is printed, as after `| head -1`: with 141, as shells say."""
    try:
        try:
            yield
        except SystemExit:
            sys.stdout.flush()
            raise
        sys.stdout.flush()  # now, not when Python ends and can only complain
    except BrokenPipeError:
        try:
            os.write(sys.stdout.fileno(), b"\n")
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(141)
        raise  # it was another pipe that broke


def command(main: Callable[P, R]) -> Callable[P, R]:
    """Make a `main`: what a user can mend (ValueError, a full disk) becomes one line on stderr and exit code 2.

    Ctrl-C ends it with 130, what shells report, and no traceback.
    """

    @functools.wraps(main)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            with _reader_may_leave():
                return main(*args, **kwargs)
        except (ValueError, OSError) as error:
            print(f"error: {' '.join(str(error).split())}", file=sys.stderr, flush=True)
            sys.exit(2)
        except KeyboardInterrupt:
            print("stopped; the same command goes on from here", file=sys.stderr, flush=True)
            sys.exit(130)

    return wrapped


class Bar:
    """Progress of `total` units: a bar on a terminal, a line every ten seconds elsewhere; use as a context manager."""

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
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def update(self, done: int) -> None:
        """Show that `done` units are done."""
        now = time.monotonic()
        if self._live:
            self._progress.update(self._task, completed=done)
        elif now - self._shown >= SECONDS_BETWEEN_LINES:
            self._shown = now
            rate = done / (now - self._began)
            print(f"{self.title} {done:,}/{self.total:,} {self.unit} · {rate:,.0f} {self.unit}/s", flush=True)
