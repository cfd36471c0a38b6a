"""An actor that is a process of a `torchrun`: it plays what process 0 orders, until that ends it or ends itself."""

from __future__ import annotations

import os
import pickle
import signal
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import astuple, replace
from queue import SimpleQueue

import numpy as np
import torch

from agents.training.metadata import RunSpec
from agents.training.rollout_actor import Actor, Order, Recipe, Start
from agents.training.rollout_chunks import ChunkLayout
from agents.training.rollout_gloo import Kind, Line, sign_of_life
from agents.training.rollout_pulse import BEATS
from agents.training.rollout_weights import SharedWeights
from rl_gen_lab.cli.errors import UserError

Begin = tuple[list[int], np.ndarray]  # a message that holds a `Start`


def leave() -> None:
    """End this process at once: what it plays now is for nobody."""
    os._exit(0)


class Inbox:
    """What process 0 sends, received in a thread: orders wait here, and weights come in while the actor plays."""

    def __init__(self, line: Line, at_end: Callable[[], None]) -> None:
        """at_end: called in the thread once process 0 ends this actor, or has ended."""
        self.waiting: SimpleQueue[Recipe | Begin | Order | None] = SimpleQueue()  # None: there will be no more
        self.ended = threading.Event()
        self._line, self._at_end = line, at_end
        self.listener = threading.Thread(target=self._listen, name="orders", daemon=True)
        self.listener.start()

    def _listen(self) -> None:
        with suppress(RuntimeError):  # process 0 has ended
            while True:
                kind, numbers, data = self._line.receive()
                if kind == Kind.RECIPE:
                    recipe, places = pickle.loads(data.numpy().tobytes())
                    shared = bytearray(SharedWeights.size_bytes(recipe.network, places))
                    self.weights = SharedWeights(shared, recipe.network, places)
                    self.waiting.put(recipe)
                elif kind == Kind.WEIGHTS:
                    self.weights.put(numbers[0], numbers[1], [data])
                elif kind == Kind.START:
                    self.waiting.put((numbers, data.numpy()))
                elif kind == Kind.ORDER:
                    self.waiting.put(Order(*numbers[:5]))
                else:
                    self.ended.set()
                    self._line.send(Kind.END)
                    break
        self.ended.set()
        self.waiting.put(None)
        self._at_end()


def start_of(layout: ChunkLayout, numbers: list[int], data: np.ndarray) -> Start:
    """Return the `Start` that a message holds. numbers: restarts, steps, rows and bytes of its actions."""
    restarts, steps, rows, size = numbers[:4]
    actions = data[:size].view(layout.action_dtype).reshape(rows, layout.envs, *layout.action_shape)
    return Start(restarts, steps, actions, data[size:] if len(data) > size else None)


def act(number: int, rank_timeout_seconds: float, at_end: Callable[[], None] = leave) -> None:
    """Be an actor until process 0 ends it, or ends. at_end: called then, in another thread, also while it plays.

    rank_timeout_seconds: after which the learner gives up an actor without signs of life.
    """
    if threading.current_thread() is threading.main_thread():  # Ctrl-C is for the learner, which ends its actors
        for asking in (signal.SIGINT, signal.SIGTERM):
            signal.signal(asking, signal.SIG_IGN)
    line = Line(0)
    inbox = Inbox(line, at_end)
    beats = threading.Thread(target=_live, args=(number, rank_timeout_seconds / BEATS, inbox, at_end), daemon=True)
    beats.start()
    try:
        _play(line, inbox)
    except Exception as error:
        text = str(error) if isinstance(error, UserError) else traceback.format_exc()
        with suppress(RuntimeError):  # process 0 may have ended in the meantime
            line.send(Kind.ERROR, data=torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8))
    inbox.listener.join()  # the learner ends it, also after an error
    beats.join()


def _live(number: int, seconds: float, inbox: Inbox, at_end: Callable[[], None]) -> None:
    """Give a sign of life each so many seconds; end where there is nobody left to read it."""
    with suppress(RuntimeError):
        while not inbox.ended.wait(seconds):
            sign_of_life(number, mine=True)
        return
    at_end()


def _play(line: Line, inbox: Inbox) -> None:
    """Play what is ordered, as `serve` does with shared memory."""
    recipe = inbox.waiting.get()
    if not isinstance(recipe, Recipe):
        return
    torch.set_num_threads(recipe.spec.config.device.threads)
    spec = RunSpec.resolve(recipe.spec.algo, recipe.spec.config)  # registers environments that are made by name
    actor = Actor(replace(recipe, spec=spec))
    block = torch.zeros(actor.layout.size_bytes, dtype=torch.uint8)
    arrays, waiting_since = actor.layout.arrays(block.numpy()), time.perf_counter()
    try:
        while (asked := inbox.waiting.get()) is not None:
            if isinstance(asked, tuple):
                actor.begin(start_of(actor.layout, *asked))
                continue
            assert isinstance(asked, Order)
            waited = time.perf_counter() - waiting_since
            actor.play(arrays, asked, inbox.weights.fetch(asked.publication), waited)
            if inbox.ended.is_set():
                break
            line.send(Kind.CHUNK, *astuple(asked), data=block[: actor.layout.used_bytes(arrays)])
            waiting_since = time.perf_counter()
    finally:
        actor.runner.close()
