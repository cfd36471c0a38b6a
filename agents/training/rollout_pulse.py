"""Signs of life of actors: each counts up while its process runs; whoever stands still is gone, or was stopped."""

from __future__ import annotations

import math
import time

BEATS = 4  # signs of life within the time after which an actor is given up


class Pulse:
    """What a learner has seen of its actors' counts."""

    def __init__(self, actors: int, seconds: float) -> None:
        """seconds: after which an actor whose count stands still is given up."""
        self.seconds = seconds
        self._seen = [(0, time.monotonic())] * actors

    def stands_still(self, number: int, count: int) -> bool:
        """Return whether the count of an actor has been this one for so long. Call it every second or so."""
        before, since = self._seen[number]
        if count != before:
            self._seen[number] = count, time.monotonic()
            return False
        return time.monotonic() - since > self.seconds

    def begin(self, number: int) -> None:
        """Wait as long as it takes for the next sign of life of an actor: its process starts."""
        self._seen[number] = self._seen[number][0], math.inf

    @property
    def words(self) -> str:
        """Say what is wrong with such an actor."""
        return f"no sign of life for {self.seconds:g} s"
