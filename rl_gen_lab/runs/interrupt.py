"""Ctrl-C and SIGTERM during a run: asked once, it saves and stops; asked twice, it stops at once."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
EXIT_INTERRUPTED = 130  # what shells report for a command ended by Ctrl-C


class Interrupt:
    """Handles SIGINT and SIGTERM while its context is open. `asked`: whether somebody asked the run to stop."""

    def __init__(self, say: Callable[[str], None], at_once: Callable[[], bool] = lambda: False) -> None:
        """say: gets messages; at_once: whether the first request ends the run, as there is nothing to save."""
        self.asked = False
        self._say, self._at_once = say, at_once

    def __enter__(self) -> Interrupt:
        self._handlers = {number: signal.getsignal(number) for number in SIGNALS}
        for number in self._handlers:
            signal.signal(number, self._ask)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.asked or self._at_once():
            raise KeyboardInterrupt
        self.asked = True
        self._say(f"{signal.Signals(number).name}: saving, then stopping (again: stop at once)")


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Let the system end the process at Ctrl-C: for calls that return to Python, which answers it, after minutes."""
    handlers = {number: signal.signal(number, signal.SIG_DFL) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
