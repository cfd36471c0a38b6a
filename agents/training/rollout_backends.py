"""Where actors run: in this process, or each in a process of its own that shares memory with this one."""

from __future__ import annotations

import multiprocessing
import pickle
import shutil
import signal
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Protocol

from torch import nn

from agents.training.env_runner import EnvStepError
from agents.training.rollout_actor import COUNT_BYTES, Actor, Order, Recipe, Start, block_of, serve, signs_of_life
from agents.training.rollout_chunks import Arrays, ChunkLayout
from agents.training.rollout_pulse import Pulse
from agents.training.rollout_weights import SharedWeights
from rl_gen_lab.cli.errors import ConfigError

END_SECONDS = 5.0  # for an actor to end by itself
SHARED_MEMORY = Path("/dev/shm")  # where Linux keeps it; elsewhere it is not looked up


class ActorEnded(Exception):
    """An actor's process ended without being asked to. why: said in place of the exit code, which may be unknown."""

    def __init__(self, number: int, exit_code: int | None, why: str = "") -> None:
        super().__init__(f"actor {number} ended" + (f": {why}" if why else f" with exit code {exit_code}"))
        self.number, self.exit_code = number, exit_code


class Actors(Protocol):
    """K actors, by number. Each follows what it is told in order."""

    def begin(self, number: int, start: Start) -> None:
        """Let an actor begin, or begin anew."""

    def order(self, number: int, order: Order) -> None:
        """Let an actor play a chunk; the block must be free."""

    def publish(self, publication: int, version: int) -> None:
        """Publish the learner's weights. publication: its number, from 1 on; version: updates that made them."""

    def receive(self, seconds: float) -> list[tuple[int, Order]]:
        """Return the orders that have been carried out, waiting for the first so long. Raises: ActorEnded."""

    def arrays(self, number: int, block: int) -> Arrays:
        """Return the arrays of a block of an actor."""

    def replace(self, number: int) -> None:
        """Start an actor anew."""

    def close(self) -> None:
        """End all actors."""


class LocalActors:
    """Actors in this process: a chunk is played when it is ordered."""

    def __init__(
        self, recipes: Sequence[Recipe], learner: nn.Module, layout: ChunkLayout, blocks: int, places: int
    ) -> None:
        """learner: the network whose weights are published; blocks: of each actor; places: of publications."""
        network = recipes[0].network
        shared = bytearray(SharedWeights.size_bytes(learner, places))
        self._published = SharedWeights(shared, learner, places)
        self._weights = SharedWeights(shared, network, places)
        self._actors = [Actor(recipe) for recipe in recipes]
        self._blocks = [[layout.arrays(bytearray(layout.size_bytes)) for _ in range(blocks)] for _ in recipes]
        self._done: deque[tuple[int, Order]] = deque()

    def begin(self, number: int, start: Start) -> None:
        """Let an actor begin, or begin anew."""
        self._actors[number].begin(start)

    def order(self, number: int, order: Order) -> None:
        """Play a chunk."""
        version = self._weights.fetch(order.publication)
        self._actors[number].play(self._blocks[number][order.block], order, version, 0.0)
        self._done.append((number, order))

    def publish(self, publication: int, version: int) -> None:
        """Publish the learner's weights."""
        self._published.publish(publication, version)

    def receive(self, seconds: float) -> list[tuple[int, Order]]:
        """Return the orders that have been carried out."""
        done, self._done = list(self._done), deque()
        return done

    def arrays(self, number: int, block: int) -> Arrays:
        """Return the arrays of a block of an actor."""
        return self._blocks[number][block]

    def replace(self, number: int) -> None:
        """Actors of this process cannot end alone."""
        raise AssertionError(number)

    def close(self) -> None:
        """Free the environments."""
        for actor in self._actors:
            actor.runner.close()


class ProcessActors:
    """Actors in processes of their own. Chunks and weights lie in shared memory; what is sent is a few numbers.

    No lock is shared, so that an actor that is killed at any moment leaves none behind: a block belongs to the actor
    from its order on until it is given back, and publications of weights carry numbers. An actor that was stopped, so
    that it gives no sign of life, counts as ended. Actors end when this process does, however it ends.
    """

    def __init__(
        self, recipes: Sequence[Recipe], learner: nn.Module, layout: ChunkLayout, blocks: int, places: int
    ) -> None:
        """learner: the network whose weights are published; blocks: of each actor; places: of publications.

        Raises: ConfigError where the shared memory is too small.
        """
        self._recipes, self._layout, self._places = recipes, layout, places
        own, weights = blocks * layout.size_bytes, SharedWeights.size_bytes(learner, places)
        refuse_small_shared_memory(own * len(recipes) + weights)
        self._memory = [SharedMemory(create=True, size=COUNT_BYTES + own) for _ in recipes]
        self._pulse = Pulse(len(recipes), recipes[0].spec.config.run.rank_timeout_seconds)
        self._weights = SharedMemory(create=True, size=weights)
        self._published = SharedWeights(self._weights.buf, learner, places)
        self._context = multiprocessing.get_context("spawn")
        self._processes: list[SpawnProcess] = []
        self._connections: list[Connection] = []
        for number in range(len(recipes)):
            process, connection = self._started(number)
            self._processes.append(process)
            self._connections.append(connection)

    def _started(self, number: int) -> tuple[SpawnProcess, Connection]:
        ours, theirs = self._context.Pipe()
        names = self._memory[number].name, self._weights.name
        # Not by the pickler of processes, in which torch lets tensors share memory: the weights are the actor's own.
        recipe = pickle.dumps(self._recipes[number])
        self._pulse.begin(number)
        arguments = (recipe, theirs, *names, self._places, self._layout)
        process = self._context.Process(target=serve, args=arguments, name=f"actor {number}", daemon=True)
        # Ctrl-C is for the learner, which decides when to stop and ends the connection: an actor never sees it.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
        try:
            process.start()  # with the signals blocked here, as they were at that moment
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()  # only the actor has it now, so that its end is noticed here
        return process, ours

    def begin(self, number: int, start: Start) -> None:
        """Let an actor begin, or begin anew."""
        self._send(number, start)

    def order(self, number: int, order: Order) -> None:
        """Let an actor play a chunk."""
        self._send(number, order)

    def _send(self, number: int, message: Start | Order) -> None:
        with suppress(BrokenPipeError, ConnectionResetError):  # it has ended, which `receive` will tell
            self._connections[number].send(message)

    def publish(self, publication: int, version: int) -> None:
        """Publish the learner's weights."""
        self._published.publish(publication, version)

    def receive(self, seconds: float) -> list[tuple[int, Order]]:
        """Return the orders that have been carried out, waiting for the first so long.

        Raises: ActorEnded; EnvStepError, or RuntimeError for a bug, with what an actor raised.
        """
        done: list[tuple[int, Order]] = []
        for connection in wait(self._connections, seconds):
            number = self._connections.index(connection)  # type: ignore[arg-type]
            try:
                answer = self._connections[number].recv()
            except (EOFError, ConnectionResetError) as error:
                if done:
                    continue  # first what is whole
                self._processes[number].join(END_SECONDS)
                raise ActorEnded(number, self._processes[number].exitcode) from error
            if isinstance(answer, str):
                raise (
                    RuntimeError(answer)
                    if answer.startswith("Traceback")
                    else EnvStepError(f"actor {number}: {answer}")
                )
            done.append((number, answer))
        if not done and seconds:
            self._refuse_silent()
        return done

    def _refuse_silent(self) -> None:
        """Raise ActorEnded for an actor that gives no sign of life: it was stopped."""
        for number, memory in enumerate(self._memory):
            if self._pulse.stands_still(number, signs_of_life(memory)) and self._processes[number].is_alive():
                raise ActorEnded(number, None, self._pulse.words)

    def arrays(self, number: int, block: int) -> Arrays:
        """Return the arrays of a block of an actor."""
        return self._layout.arrays(block_of(self._memory[number], block, self._layout))

    @property
    def pids(self) -> list[int]:
        """The actors' process numbers."""
        return [process.pid for process in self._processes if process.pid]

    def replace(self, number: int) -> None:
        """Start an actor anew."""
        self._connections[number].close()
        self._processes[number].kill()
        self._processes[number].join()
        self._processes[number], self._connections[number] = self._started(number)

    def close(self) -> None:
        """End all actors and free the memory."""
        for connection in self._connections:
            connection.close()
        for process in self._processes:
            process.kill()  # what it plays now is for nobody
            process.join()
        del self._published
        for memory in (*self._memory, self._weights):
            memory.close()
            memory.unlink()


def refuse_small_shared_memory(needed: int) -> None:
    """Raise ConfigError where fewer bytes of shared memory are free: writing to it would end the process."""
    if not SHARED_MEMORY.is_dir():
        return
    free = shutil.disk_usage(SHARED_MEMORY).free
    if needed > free:
        raise ConfigError(
            f"the actors' chunks and weights take {needed / 1e6:,.0f} MB of shared memory, and {SHARED_MEMORY} has"
            f" {free / 1e6:,.0f} MB free: use fewer --rollout-steps or --num-envs, a smaller --rollouts.queue, or give"
            " the container more (docker run --shm-size)"
        )
