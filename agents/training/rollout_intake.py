"""The learner's side of its actors: what each has been told to play, what came back, and who is replaced."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from agents.training.rollout_actor import Order, Start
from agents.training.rollout_backends import ActorEnded, Actors
from agents.training.rollout_chunks import Arrays, ChunkReader, ids_of
from agents.training.rollout_meter import RolloutMeter
from agents.training.rollout_weights import NEWEST
from rl_gen_lab.cli.errors import UserError

MOST_DEATHS = 3  # of an actor without a chunk in between
POLL_SECONDS = 1.0


class ActorsEndedError(UserError):
    """An actor's process ended again and again."""


@dataclass
class Received:
    """What is known of an actor since the last restart.

    actions: (T, n, ...) of each chunk; mind: (M,) after the last; orders: not carried out yet; ready: chunks that
    nobody has taken yet; deaths: since the last chunk.
    """

    actions: list[np.ndarray] = field(default_factory=list)
    mind: np.ndarray | None = None
    orders: deque[Order] = field(default_factory=deque)
    ready: deque[Arrays] = field(default_factory=deque)
    deaths: int = 0


class Intake:
    """Orders chunks of K actors, each played once and received once, in order; what is left of a restart is dropped.

    An actor that ends begins anew after the last chunk that was received of it, and plays again what it was playing:
    with fixed weights that is the same.
    """

    def __init__(
        self,
        actors: Actors,
        count: int,
        blocks: int,
        reader: ChunkReader,
        meter: RolloutMeter,
        say: Callable[[str], None],
    ) -> None:
        """count: K; blocks: of each actor; say: prints a line."""
        self._actors, self._blocks, self._reader, self._meter, self._say = actors, blocks, reader, meter, say
        self._received = [Received() for _ in range(count)]
        self._epoch = self._orders = self._publications = self._restarts = self._restarted_at = 0

    def restart(self, restarts: int, steps: int, actions: np.ndarray, minds: np.ndarray | None) -> None:
        """Let all actors begin at the restart of that number, after `steps` vector steps in all.

        actions: (T, N, ...) to repeat; minds: (K, M) uint8, what the actors remember (None: nothing yet).
        """
        self._meter.dropped_steps += sum(chunk["reward"].size for own in self._received for chunk in own.ready)
        self._epoch += 1
        self._restarts, self._restarted_at = restarts, steps - len(actions)
        shares = np.split(actions, len(self._received), axis=1)
        self._received = [Received([share]) for share in shares]
        for number, own in enumerate(self._received):
            own.mind = None if minds is None else minds[number]
            self._actors.begin(number, self._start_of(own))

    def _start_of(self, own: Received) -> Start:
        """Return where an actor goes on after the chunks that were received of it."""
        actions = np.concatenate(own.actions) if own.actions[1:] else own.actions[0]
        return Start(self._restarts, self._restarted_at + len(actions), actions, own.mind)

    def publish(self, version: int) -> None:
        """Publish the learner's weights. version: updates that made them."""
        self._publications += 1
        self._actors.publish(self._publications, version)

    @property
    def ordered(self) -> int:
        """The chunks of each actor that are ordered and not taken yet."""
        return len(self._received[0].orders) + len(self._received[0].ready)

    def order(self, rows: int, *, newest: bool) -> None:
        """Let each actor play a chunk of so many rows, by the weights of now or by the newest when it begins."""
        block, publication = self._orders % self._blocks, NEWEST if newest else self._publications
        for number, own in enumerate(self._received):
            own.orders.append(Order(block, self._epoch, self._orders, rows, publication))
            self._actors.order(number, own.orders[-1])
        self._orders += 1

    def collect(self) -> tuple[float, list[Arrays]]:
        """Wait for a chunk of each actor; return them, and how many chunks of each had been ready before.

        Raises: EnvStepError, ActorsEndedError.
        """
        self._receive(0.0)
        ready = float(np.mean([len(own.ready) for own in self._received]))
        while not all(own.ready for own in self._received):
            self._receive(POLL_SECONDS)
        return ready, [own.ready.popleft() for own in self._received]

    def _receive(self, seconds: float) -> None:
        try:
            done = self._actors.receive(seconds)
        except ActorEnded as ended:
            self._replace(ended)
            return
        for number, order in done:
            own, arrays = self._received[number], self._actors.arrays(number, order.block)
            if order.epoch != self._epoch:  # from before a restart
                self._meter.dropped_steps += order.rows * arrays["reward"].shape[1]
                continue
            expected, ids = own.orders.popleft(), ids_of(arrays)
            assert order == expected and (ids["actor"], ids["serial"]) == (number, order.serial), (order, ids)
            chunk = self._reader.read(arrays)
            own.ready.append(chunk)
            own.actions.append(chunk["action"])
            own.mind, own.deaths = chunk["mind"][-1], 0

    def _replace(self, ended: ActorEnded) -> None:
        own = self._received[ended.number]
        own.deaths += 1
        self._meter.replaced += 1
        if own.deaths > MOST_DEATHS:
            raise ActorsEndedError(f"{ended}, {own.deaths} times without a chunk: is there memory for it?")
        self._say(f"{ended}: replaced; it repeats {sum(map(len, own.actions)):,} vector steps")
        self._actors.replace(ended.number)
        self._actors.begin(ended.number, self._start_of(own))
        for order in own.orders:
            self._actors.order(ended.number, order)

    def close(self) -> None:
        """End the actors."""
        self._actors.close()
