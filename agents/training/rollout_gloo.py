"""Actors that are processes of the same `torchrun`, on this machine or on others: torch.distributed, gloo over TCP.

Process 0 learns, process k + 1 is actor k (`rollout_gloo_actor.py`). Chunks and weights travel as flat bytes.
"""

from __future__ import annotations

import pickle
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import astuple
from datetime import timedelta
from enum import IntEnum
from queue import Empty, SimpleQueue

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from agents.training.env_runner import EnvStepError
from agents.training.rollout_actor import Order, Recipe, Start
from agents.training.rollout_chunks import Arrays, ChunkLayout
from agents.training.rollout_pulse import Pulse
from agents.training.rollout_weights import bytes_of, flatten, tensors_of
from rl_gen_lab.distributed.group import RankLostError
from rl_gen_lab.runs.reading import first_line

NUMBERS = 8  # of each message: what it is, the bytes behind it, and up to six more
LONG = timedelta(days=365)  # a time-out of gloo ends all connections of the process, so nobody waits with one
END_SECONDS = 5.0  # for an actor to answer that it ends


class Kind(IntEnum):
    """What a message is."""

    RECIPE = 1  # to an actor: what it is made from, pickled, once
    START = 2  # to an actor: restarts, steps, rows of actions, bytes of them; the actions and its mind
    ORDER = 3  # to an actor: the fields of an `Order`
    WEIGHTS = 4  # to an actor: publication, version; the weights
    CHUNK = 5  # from an actor: the fields of the `Order`; the bytes of its block that are used
    ERROR = 6  # from an actor: text
    END = 7  # to an actor, which answers with the same as its last message


class Line:
    """Messages to and from another process, whole and in order. Raises: RuntimeError once the other one has ended."""

    def __init__(self, peer: int, patience: timedelta = LONG) -> None:
        """peer: rank of the other process; patience: until it takes a message."""
        self._peer, self._patience, self._lock, self._ended = peer, patience, threading.Lock(), False

    def send(self, kind: Kind, *numbers: int, data: Tensor | None = None, patience: timedelta | None = None) -> None:
        """Send a message; nothing is sent after END. data: (bytes,) uint8; patience: other than that of the line."""
        head = torch.zeros(NUMBERS, dtype=torch.int64)
        head[: 2 + len(numbers)] = torch.tensor([kind, 0 if data is None else len(data), *numbers])
        with self._lock:  # an actor answers that it ends while it still plays: what it finds later is for nobody
            if self._ended:
                return
            self._ended = kind == Kind.END
            for tensor in [head] if data is None or not len(data) else [head, data]:
                _wait(dist.isend(tensor, self._peer), patience or self._patience)

    def receive(self, place: Callable[[list[int]], Tensor] | None = None) -> tuple[Kind, list[int], Tensor]:
        """Wait for a message. place: returns where the bytes of one with these numbers go (None: into new memory)."""
        head = torch.zeros(NUMBERS, dtype=torch.int64)
        _wait(dist.irecv(head, self._peer), LONG)
        kind, size, *numbers = head.tolist()
        data = torch.empty(size, dtype=torch.uint8) if place is None or kind != Kind.CHUNK else place(numbers)[:size]
        if size:
            _wait(dist.irecv(data, self._peer), LONG)
        return Kind(kind), numbers, data


def _wait(work: dist.Work | None, patience: timedelta) -> None:
    assert work is not None
    work.wait(patience)


def sign_of_life(number: int, *, mine: bool) -> int:
    """Return how many signs of life an actor has given; give one more if it is mine. Raises: RuntimeError."""
    store = dist.distributed_c10d._get_default_store()
    return int(store.add(f"actor {number} lives", int(mine)))


class GlooActors:
    """The learner's side of actors in other processes; see `Actors`. They end when this process does.

    A thread for each receives what it sends, each chunk into the block that it was ordered for.
    """

    def __init__(
        self, recipes: Sequence[Recipe], learner: nn.Module, layout: ChunkLayout, blocks: int, places: int
    ) -> None:
        """learner: the network whose weights are published; blocks: of each actor; places: of publications.

        Raises: RankLostError.
        """
        self._seconds, self._layout = recipes[0].spec.config.run.rank_timeout_seconds, layout
        self._weights = tensors_of(learner)
        self._flat = np.empty(bytes_of(learner), np.uint8)
        self._blocks = [torch.zeros((blocks, layout.size_bytes), dtype=torch.uint8) for _ in recipes]
        self._lines = [Line(number + 1, timedelta(seconds=self._seconds)) for number in range(len(recipes))]
        self._came: SimpleQueue[tuple[int, Order | str | RuntimeError]] = SimpleQueue()
        self._told = False  # that an actor was lost
        self._pulse = Pulse(len(recipes), self._seconds)
        self._listeners = [
            threading.Thread(target=self._listen, args=(number,), name=f"actor {number}", daemon=True)
            for number in range(len(recipes))
        ]
        for number, recipe in enumerate(recipes):
            self._listeners[number].start()
            data = torch.frombuffer(bytearray(pickle.dumps((recipe, places))), dtype=torch.uint8)
            self._send(number, Kind.RECIPE, data=data)

    def _listen(self, number: int) -> None:
        """Take in what an actor sends until it ends."""
        try:
            while True:
                kind, numbers, data = self._lines[number].receive(lambda found: self._blocks[number][found[0]])
                if kind == Kind.END:
                    return
                said = data.numpy().tobytes().decode() if kind == Kind.ERROR else Order(*numbers[:5])
                self._came.put((number, said))
        except RuntimeError as error:
            self._came.put((number, error))

    def _send(self, number: int, kind: Kind, *numbers: int, data: Tensor | None = None) -> None:
        try:
            self._lines[number].send(kind, *numbers, data=data)
        except RuntimeError as error:
            raise self._lost(number, error) from error

    def _lost(self, number: int, why: Exception) -> RankLostError:
        self._told = True
        size = len(self._lines) + 1
        return RankLostError(
            f"process 0 lost actor {number}, process {number + 1} of {size}, which ended or did not answer in time"
            f" ({first_line(why)[:120]}); the last checkpoint stays, for --resume, or torchrun --max-restarts 3"
        )

    def begin(self, number: int, start: Start) -> None:
        """Let an actor begin, or begin anew. Raises: RankLostError."""
        actions = np.ascontiguousarray(start.actions, self._layout.action_dtype).reshape(-1).view(np.uint8)
        mind = np.zeros(0, np.uint8) if start.mind is None else start.mind
        numbers = start.restarts, start.steps, len(start.actions), len(actions)
        self._send(number, Kind.START, *numbers, data=torch.from_numpy(np.concatenate([actions, mind])))

    def order(self, number: int, order: Order) -> None:
        """Let an actor play a chunk. Raises: RankLostError."""
        self._send(number, Kind.ORDER, *astuple(order))

    def publish(self, publication: int, version: int) -> None:
        """Publish the learner's weights: they are sent to each actor. Raises: RankLostError."""
        flatten(self._weights, self._flat)
        for number in range(len(self._lines)):
            self._send(number, Kind.WEIGHTS, publication, version, data=torch.from_numpy(self._flat))

    def receive(self, seconds: float) -> list[tuple[int, Order]]:
        """Return the orders that have been carried out, waiting for the first so long.

        Raises: RankLostError; EnvStepError, or RuntimeError for a bug, with what an actor raised.
        """
        done: list[tuple[int, Order]] = []
        with suppress(Empty):
            while True:
                number, came = self._came.get(timeout=0.0 if done else seconds)
                if isinstance(came, RuntimeError):
                    raise self._lost(number, came) from came
                if isinstance(came, str):
                    told = came.startswith("Traceback")
                    raise RuntimeError(came) if told else EnvStepError(f"actor {number}: {came}")
                done.append((number, came))
        if not done and seconds:
            self._refuse_silent()
        return done

    def _refuse_silent(self) -> None:
        """Raise RankLostError for an actor that gives no sign of life: its machine is gone, or it was stopped."""
        for number in range(len(self._lines)):
            try:
                lives = sign_of_life(number, mine=False)
            except RuntimeError as error:  # the store is gone with the machine that kept it
                raise self._lost(number, error) from error
            if self._pulse.stands_still(number, lives):
                raise self._lost(number, TimeoutError(self._pulse.words))

    def arrays(self, number: int, block: int) -> Arrays:
        """Return the arrays of a block of an actor."""
        return self._layout.arrays(self._blocks[number][block].numpy())

    def replace(self, number: int) -> None:
        """A process of a torchrun cannot be replaced alone: torchrun starts all anew."""
        raise AssertionError(number)

    def close(self) -> None:
        """End all actors. Raises: RankLostError for one that had ended before, unless that was said."""
        for line in self._lines:
            with suppress(RuntimeError):  # it has ended
                line.send(Kind.END, patience=timedelta(seconds=END_SECONDS))
        until = time.monotonic() + END_SECONDS
        for listener in self._listeners:
            listener.join(max(until - time.monotonic(), 0.0))
        while not self._came.empty():
            number, came = self._came.get()
            if isinstance(came, RuntimeError) and not self._told:
                raise self._lost(number, came)
