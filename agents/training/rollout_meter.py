"""How far the actors' weights lag behind the learner's, how full the queue is, and who waits for whom."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np


class RolloutMeter:
    """Sums over rollouts. clock: seconds."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self.replaced = self.dropped_steps = 0
        self._all, self._since = Sums(clock()), Sums(clock())

    def add(
        self,
        lags: Sequence[int],
        learner_waited: float,
        actors_waited: Sequence[float],
        actors_played: Sequence[float],
        queued: float,
    ) -> None:
        """Take in a rollout.

        lags: of each chunk, updates between the weights that played it and those that learn from it; learner_waited:
        for its chunks [s]; actors_waited, actors_played: before and during each chunk [s]; queued: share of the queue
        that was filled when the learner came for it.
        """
        for sums in (self._all, self._since):
            sums.lags += lags
            sums.queued.append(queued)
            sums.learner_waited += learner_waited
            sums.actors_waited += sum(actors_waited)
            sums.actors_busy += sum(actors_played)

    def metrics(self) -> dict[str, float]:
        """Return the metrics since the last call."""
        found = self._since.metrics(self._clock())
        self._since = Sums(self._clock())
        return found | self._counts() if found else {}

    def totals(self) -> dict[str, float]:
        """Return the metrics since the beginning."""
        found = self._all.metrics(self._clock())
        return found | self._counts() if found else {}

    def _counts(self) -> dict[str, float]:
        return {"rollouts/actors_replaced": self.replaced, "rollouts/dropped_steps": self.dropped_steps}

    def bottleneck(self) -> str:
        """Say who waits for whom."""
        found = self.totals()
        if not found:
            return "no rollout was collected"
        actors, learner = found["rollouts/actors_wait_percent"], found["rollouts/learner_waits_percent"]
        if actors > learner:
            return f"the learner is the bottleneck: actors wait for the learner {actors:.0f} % of the time"
        return f"the actors are the bottleneck: the learner waits for them {learner:.0f} % of the time"


class Sums:
    """What is summed from a moment on."""

    def __init__(self, begun: float) -> None:
        self.begun = begun
        self.lags: list[int] = []
        self.queued: list[float] = []
        self.learner_waited = self.actors_waited = self.actors_busy = 0.0

    def metrics(self, now: float) -> dict[str, float]:
        """Return the means; empty where no rollout came."""
        if not self.lags:
            return {}
        return {
            "rollouts/lag_updates": float(np.mean(self.lags)),
            "rollouts/lag_updates_max": float(max(self.lags)),
            "rollouts/queue_percent": 100 * float(np.mean(self.queued)),
            "rollouts/actors_wait_percent": 100 * self.actors_waited / max(self.actors_waited + self.actors_busy, 1e-9),
            "rollouts/learner_waits_percent": 100 * self.learner_waited / max(now - self.begun, 1e-9),
        }
