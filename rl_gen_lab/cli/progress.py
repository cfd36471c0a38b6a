"""Progress of long work: a live bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

SECONDS_BETWEEN_LINES = 10.0
SECONDS_BETWEEN_DRAWINGS = 0.2
SECONDS_TO_FIRST = 2.5  # until the first line: enough to measure a rate


def clock(seconds: float) -> str:
    """Format seconds as h:mm:ss or m:ss."""
    minutes, second = divmod(int(seconds), 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour}:{minute:02d}:{second:02d}" if hour else f"{minute}:{second:02d}"


class ProgressDisplay:
    """Progress of a piece of work of `total` units; use as a context manager.

    A bar that is redrawn on a terminal, a line every ten seconds elsewhere. The ETA is from the rate of about the last
    minute; in_pieces: of the whole time so far, for work that is done in large pieces, minutes apart.
    """

    def __init__(self, title: str, total: int, unit: str, *, in_pieces: bool = False) -> None:
        self.title, self.total, self.unit = title, total, unit
        self.done, self.rate = 0, 0.0
        self._live, self._in_pieces = sys.stdout.isatty(), in_pieces
        self._mark: tuple[float, int] | None = None
        self._last_report = 0.0  # when work was last reported
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

    def __enter__(self) -> ProgressDisplay:
        self._progress.start()
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def eta(self, left_seconds: float | None = None) -> str:
        """Return the time left at the present rate, at most `left_seconds` (a time limit)."""
        if self.rate <= 0:
            return "?" if left_seconds is None else clock(left_seconds)
        left = max(self.total - self.done, 0) / self.rate
        return clock(left if left_seconds is None else min(left, left_seconds))

    def due(self, done: int) -> bool:
        """Return whether `update` would show anything now; if not, the caller can skip the status (on a GPU: the wait).

        The clock starts with the first call: with the work, not with its preparation.
        """
        pause = SECONDS_BETWEEN_DRAWINGS if self._live else SECONDS_BETWEEN_LINES
        now = time.monotonic()
        if self._mark is None:
            self._mark, self._shown = (now, done), now - pause + SECONDS_TO_FIRST
        self._last_report = now
        return now - self._shown >= pause

    def update(self, done: int, status: str, left_seconds: float | None = None) -> None:
        """Show that `done` units are done, with `status` behind rate and ETA. Cheap where nothing is `due`."""
        due, now = self.due(done), time.monotonic()
        assert self._mark is not None
        self.done = done
        since, before = self._mark
        if self._in_pieces:
            self.rate = (done - before) / max(now - since, 0.5)
        elif now - since >= (2.0 if self.rate else 0.5):
            rate = (done - before) / (now - since)
            self.rate = rate if self.rate == 0 else 0.8 * self.rate + 0.2 * rate
            self._mark = (now, done)
        if not due:
            return
        self._shown = now
        speed = f"{self.rate:,.0f} {self.unit}/s" if self.rate >= 1 else f"{60 * self.rate:.1f} {self.unit}/min"
        text = f"{speed} · ETA {self.eta(left_seconds)} · {status}"
        if self._live:
            self._progress.update(self._task, completed=done, status=text)
        else:
            print(f"{self.title} {done:,}/{self.total:,} {self.unit} · {text}", flush=True)

    def pause(self, done: int, status: str) -> None:
        """Show work beside the units, such as an evaluation, without lowering the rate and the ETA."""
        last_report = self._last_report
        due, now = self.due(done), time.monotonic()
        assert self._mark is not None
        since, before = self._mark
        # The work before the pause counts, and the time it took; the pause itself does not.
        self.done, self._mark = done, (since + (now - last_report if last_report else 0.0), before)
        if not due:
            return
        self._shown = now
        if self._live:
            self._progress.update(self._task, completed=self.done, status=status)
        else:
            print(f"{self.title} {self.done:,}/{self.total:,} {self.unit} · {status}", flush=True)

    def say(self, line: str) -> None:
        """Print a line that stays above the bar."""
        if self._live:
            # Not wrapped: commands and paths are copied from the terminal.
            self._progress.console.print(line, markup=False, highlight=False, soft_wrap=True)
        else:
            print(line, flush=True)
