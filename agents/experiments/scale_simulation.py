"""Simulation of many actors and one learner by discrete events: what is used, what is dropped, how stale it is.

Actors play without a pause with the newest weights that have reached them. Each chunk of steps goes into one queue of
bounded length; the learner takes the oldest chunks of it as soon as they make a batch. Weights are sent at fixed
intervals and arrive after a delay. Chunks themselves travel in no time, and an actor changes weights between chunks.

The lag of a chunk is the number of updates between the weights that played it and the weights that learn from it:
0 where the learner waits for the newest weights to play, as a program in one process does.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

WhenFull = Literal["oldest", "newest", "wait"]
DRAWS = 4_096  # random numbers drawn at once


@dataclass(frozen=True)
class Plan:
    """What is simulated; every time but the interval of the broadcasts varies by `spread`.

    actors: N; steps_per_second: of an actor on average; chunk_steps: steps that are sent together; batch_chunks: chunks
    of an update; update_seconds: time of an update; broadcast_seconds: interval between broadcasts of weights, 0 for
    one after each update; delay_seconds: until they have arrived; queue_chunks: at most in the queue; when_full: what
    gives way when a chunk meets a full queue, the oldest in it, the new one, or the actor, which waits; spread:
    standard deviation of the logarithm of all times and of the actors' speeds, 0 for none.
    """

    actors: int
    steps_per_second: float
    chunk_steps: int
    batch_chunks: int
    update_seconds: float
    broadcast_seconds: float
    delay_seconds: float
    queue_chunks: int
    when_full: WhenFull = "oldest"
    spread: float = 0.0

    def __post_init__(self) -> None:
        """Raises: ValueError for a queue that holds no batch, which would never be learned from."""
        if self.queue_chunks < self.batch_chunks:
            raise ValueError(f"a queue of {self.queue_chunks} chunks never holds a batch of {self.batch_chunks}")


class Chunk(NamedTuple):
    """Steps of one actor in a row: its `number`-th, played with weights `version`."""

    actor: int
    number: int
    version: int


class Fate(NamedTuple):
    """What became of a chunk that left the queue: `lag` in updates, or -1 where it was dropped; `at` in seconds."""

    chunk: Chunk
    lag: int
    at: float


@dataclass
class Shares:
    """Integrals over time, from the last reset on [seconds]; of the queue [chunks x seconds]."""

    time: float = 0.0
    queue: float = 0.0
    idle: float = 0.0  # of the learner
    waiting: float = 0.0  # of all actors together


class Simulation:
    """Actors, queue, learner and broadcasts; the same plan and seed give the same events."""

    def __init__(self, plan: Plan, seed: int) -> None:
        self.plan = plan
        self._rng = np.random.default_rng(seed)
        self._factors: list[float] = []
        self.now = 0.0
        self.version = 0  # updates made
        self.made = 0  # chunks that were played to their end
        self.fates: list[Fate] = []
        self.queue: deque[Chunk] = deque()
        self.waiting: deque[Chunk] = deque()  # of actors that wait for a place in the queue
        self.shares = Shares()
        self._sent = 0
        self._learning = False
        self._order = 0
        self._events: list[tuple[float, int, str, int]] = []
        self._known = [0] * plan.actors  # version that plays
        self._coming: list[list[tuple[float, int]]] = [[] for _ in range(plan.actors)]  # arrival, version
        self._number = [0] * plan.actors
        mean = plan.chunk_steps / plan.steps_per_second
        self._chunk_seconds = [mean / self._factor() for _ in range(plan.actors)]  # speeds of mean 1
        for actor in range(plan.actors):  # not in step with each other
            self._schedule(mean * actor / plan.actors, "begin", actor)
        if plan.broadcast_seconds:
            self._schedule(plan.broadcast_seconds, "broadcast")

    def run(self, until: float) -> None:
        """Let time pass until a moment [seconds]."""
        while self._events[0][0] <= until:
            at, _, kind, actor = heapq.heappop(self._events)
            self._pass(at)
            if kind == "begin":
                self._begin(actor)
            elif kind == "end":
                self._end(actor)
            elif kind == "updated":
                self._updated()
            else:
                self._broadcast()
                self._schedule(self.plan.broadcast_seconds, "broadcast")
        self._pass(until)

    def reset_shares(self) -> None:
        """Let the integrals over time begin anew."""
        self.shares = Shares()

    def _factor(self) -> float:
        """Draw what a time is multiplied by: log-normal, of mean 1."""
        if not self.plan.spread:
            return 1.0
        if not self._factors:
            spread = self.plan.spread
            self._factors = self._rng.lognormal(-(spread**2) / 2, spread, DRAWS).tolist()
        return self._factors.pop()

    def _schedule(self, after: float, kind: str, actor: int = -1) -> None:
        self._order += 1  # of two events at a moment, the one that was scheduled first
        heapq.heappush(self._events, (self.now + after, self._order, kind, actor))

    def _pass(self, at: float) -> None:
        gone, self.now = at - self.now, at
        self.shares.time += gone
        self.shares.queue += gone * len(self.queue)
        self.shares.idle += gone * (not self._learning)
        self.shares.waiting += gone * len(self.waiting)

    def _begin(self, actor: int) -> None:
        """An actor takes the newest weights that have arrived, even where older ones were overtaken, and plays on."""
        coming = self._coming[actor]
        arrived = [version for at, version in coming if at <= self.now]
        if arrived:
            self._known[actor] = max(self._known[actor], *arrived)
            self._coming[actor] = [(at, version) for at, version in coming if at > self.now]
        self._schedule(self._chunk_seconds[actor] * self._factor(), "end", actor)

    def _end(self, actor: int) -> None:
        chunk = Chunk(actor, self._number[actor], self._known[actor])
        self._number[actor] += 1
        self.made += 1
        if len(self.queue) == self.plan.queue_chunks:
            if self.plan.when_full == "wait":
                self.waiting.append(chunk)
                return
            dropped = chunk
            if self.plan.when_full == "oldest":
                dropped = self.queue.popleft()
                self.queue.append(chunk)
            self.fates.append(Fate(dropped, -1, self.now))
        else:
            self.queue.append(chunk)
        self._begin(actor)
        self._learn()

    def _learn(self) -> None:
        """Take a batch if the learner is free and one is there; who waited for a place gets it."""
        if self._learning or len(self.queue) < self.plan.batch_chunks:
            return
        for _ in range(self.plan.batch_chunks):
            chunk = self.queue.popleft()
            self.fates.append(Fate(chunk, self.version - chunk.version, self.now))
        while self.waiting and len(self.queue) < self.plan.queue_chunks:
            self.queue.append(waited := self.waiting.popleft())
            self._begin(waited.actor)
        self._learning = True
        self._schedule(self.plan.update_seconds * self._factor(), "updated")

    def _updated(self) -> None:
        self.version += 1
        self._learning = False
        if not self.plan.broadcast_seconds:
            self._broadcast()
        self._learn()

    def _broadcast(self) -> None:
        if self.version == self._sent:
            return
        self._sent = self.version
        for coming in self._coming:
            coming.append((self.now + self.plan.delay_seconds * self._factor(), self.version))


@dataclass(frozen=True)
class Flow:
    """What a simulation shows after its beginning.

    used_per_second: steps/s that are learned from; dropped, queue, idle, waiting: shares of the steps that left the
    queue, of the queue's places, of the learner's time, of the actors' time; lag_median, lag_95: quantiles over the
    chunks used [updates], -1 without any; updates_per_second; bottleneck: who is waited for.
    """

    used_per_second: float
    dropped: float
    lag_median: int
    lag_95: int
    queue: float
    idle: float
    waiting: float
    updates_per_second: float
    bottleneck: Literal["learner", "actors", "neither"]


def flow_of(simulation: Simulation, since: float, updates_since: int) -> Flow:
    """Summarize from a moment on, at which `reset_shares` was called and the learner had made `updates_since` updates.

    The bottleneck is the learner where more is lost (steps dropped, actors that wait) than the learner is idle, and
    actors where it is the other way round; neither where both are below 2 %.
    """
    plan, shares = simulation.plan, simulation.shares
    lags = np.array([fate.lag for fate in simulation.fates if fate.at > since], dtype=np.int64)
    used = np.sort(lags[lags >= 0])
    dropped = (len(lags) - len(used)) / max(len(lags), 1)
    idle, waiting = shares.idle / shares.time, shares.waiting / shares.time / plan.actors
    lost = max(dropped, waiting)
    bottleneck: Literal["learner", "actors", "neither"] = "learner" if lost > idle else "actors"
    return Flow(
        used_per_second=len(used) * plan.chunk_steps / shares.time,
        dropped=dropped,
        lag_median=_quantile(used, 0.5),
        lag_95=_quantile(used, 0.95),
        queue=shares.queue / shares.time / plan.queue_chunks,
        idle=idle,
        waiting=waiting,
        updates_per_second=(simulation.version - updates_since) / shares.time,
        bottleneck=bottleneck if max(lost, idle) >= 0.02 else "neither",
    )


def _quantile(ordered: np.ndarray, share: float) -> int:
    """Return the smallest of the ordered values that at least this share of them does not exceed."""
    return int(ordered[max(math.ceil(share * len(ordered)) - 1, 0)]) if len(ordered) else -1
