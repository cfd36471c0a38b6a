"""How long work shows itself: a live progress bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import shlex
import shutil
import sys
import time
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

SECONDS_BETWEEN_LINES = 10.0
SECONDS_BETWEEN_DRAWINGS = 0.2
SECONDS_TO_FIRST = 2.5  # enough for a rate


def clock(seconds: float) -> str:
    """Seconds as h:mm:ss or m:ss."""
    minutes, second = divmod(int(seconds), 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour}:{minute:02d}:{second:02d}" if hour else f"{minute}:{second:02d}"


def short(path: Path) -> str:
    """Give a path as it is typed here: relative where it lies below the working directory."""
    try:
        return str(path.absolute().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def shell(*words: str | Path) -> str:
    """Give a command to copy into a shell: paths `short`, quoted where they must be."""
    return shlex.join(short(word) if isinstance(word, Path) else word for word in words)


def python() -> str | Path:
    """Give how this interpreter is started: "python" in an activated environment, else its path."""
    found, own = shutil.which("python"), Path(sys.executable)
    return "python" if found and Path(found).absolute() == own else own


class Display:
    """Progress of one piece of work of `total` units; use as a context manager.

    On a terminal: a bar, redrawn; elsewhere: one line every ten seconds. ETA from the rate of the last minute or so.
    """

    def __init__(self, title: str, total: int, unit: str) -> None:
        self.title, self.total, self.unit = title, total, unit
        self.done, self.rate = 0, 0.0
        self._live = sys.stdout.isatty()
        self._mark: tuple[float, int] | None = None
        self._asked = 0.0  # when somebody last reported work
        self._shown = 0.0
        self._progress = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=24),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[status]}"),
            console=Console(),
            disable=not self._live,
        )
        self._task = self._progress.add_task(title, total=total, status="")

    def __enter__(self) -> Display:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def eta(self, left_seconds: float | None = None) -> str:
        """Time left at the present rate, at most `left_seconds` (a time limit)."""
        if self.rate <= 0:
            return "?" if left_seconds is None else clock(left_seconds)
        left = max(self.total - self.done, 0) / self.rate
        return clock(left if left_seconds is None else min(left, left_seconds))

    def due(self, done: int) -> bool:
        """False when `update` would show nothing yet, so that nobody need compose a status (on a GPU: wait for one).

        The clock starts with the first call, that is with the work and not with its preparation.
        """
        pause = SECONDS_BETWEEN_DRAWINGS if self._live else SECONDS_BETWEEN_LINES
        now = time.monotonic()
        if self._mark is None:
            self._mark, self._shown = (now, done), now - pause + SECONDS_TO_FIRST
        self._asked = now
        return now - self._shown >= pause

    def update(self, done: int, status: str, left_seconds: float | None = None) -> None:
        """Show that `done` units are done; `status` stands behind rate and ETA. Cheap where nothing is `due`."""
        due, now = self.due(done), time.monotonic()
        assert self._mark is not None
        self.done = done
        since, before = self._mark
        if now - since >= (2.0 if self.rate else 0.5):
            rate = (done - before) / (now - since)
            self.rate = rate if self.rate == 0 else 0.8 * self.rate + 0.2 * rate
            self._mark = (now, done)
        if not due:
            return
        self._shown = now
        text = f"{self.rate:,.0f} {self.unit}/s · ETA {self.eta(left_seconds)} · {status}"
        if self._live:
            self._progress.update(self._task, completed=done, status=text)
        else:
            print(f"{self.title} {done:,}/{self.total:,} {self.unit} · {text}", flush=True)

    def pause(self, done: int, status: str) -> None:
        """Show work beside the units, such as an evaluation: the rate, and with it the ETA, is not lowered by it."""
        asked = self._asked
        due, now = self.due(done), time.monotonic()
        assert self._mark is not None
        since, before = self._mark
        # What was done before the pause counts, and the time it took; the pause itself does not.
        self.done, self._mark = done, (since + (now - asked if asked else 0.0), before)
        if not due:
            return
        self._shown = now
        if self._live:
            self._progress.update(self._task, completed=self.done, status=status)
        else:
            print(f"{self.title} {self.done:,}/{self.total:,} {self.unit} · {status}", flush=True)

    def say(self, line: str) -> None:
        """Print a line that stays, above the bar."""
        if self._live:
            # Never folded: commands and paths are copied from the terminal.
            self._progress.console.print(line, markup=False, highlight=False, soft_wrap=True)
        else:
            print(line, flush=True)
