"""Actors at the other end of sockets: chunks come as bytes, packed, and go through the same intake."""

from __future__ import annotations

import struct
from collections import deque
from dataclasses import astuple
from multiprocessing.connection import Connection, Listener, wait

from agents.training.rollout_actor import Order, Start
from agents.training.rollout_backends import ActorEnded
from agents.training.rollout_chunks import Arrays, ChunkLayout

ORDER = struct.Struct("<5q")  # the fields of an `Order`
BEGIN = b"begin"
LOOPBACK = "127.0.0.1"


class SocketActors:
    """K actors that have connected to this machine's loopback address; see `Actors`.

    An order travels as five numbers, a chunk as the bytes of its block that are used. Weights are not sent: what is
    at the other end plays without them.
    """

    def __init__(self, layout: ChunkLayout, listener: Listener, count: int) -> None:
        """Wait for `count` actors. listener: made by `listen`."""
        self._layout = layout
        self._connections: list[Connection] = [listener.accept() for _ in range(count)]
        self._numbers = {id(connection): number for number, connection in enumerate(self._connections)}
        self._orders: list[deque[Order]] = [deque() for _ in range(count)]
        self._came: list[deque[bytes]] = [deque() for _ in range(count)]
        self._block = bytearray(layout.size_bytes)
        self._arrays = layout.arrays(self._block)
        self.received_bytes = 0

    def begin(self, number: int, start: Start) -> None:
        """Let an actor begin, or begin anew."""
        self._connections[number].send_bytes(BEGIN + str(number).encode())

    def order(self, number: int, order: Order) -> None:
        """Let an actor send a chunk."""
        self._orders[number].append(order)
        self._connections[number].send_bytes(ORDER.pack(*astuple(order)))

    def publish(self, publication: int, version: int) -> None:
        """Nothing is sent."""

    def receive(self, seconds: float) -> list[tuple[int, Order]]:
        """Return the orders whose chunks have come. Raises: ActorEnded."""
        done = []
        for connection in wait(self._connections, seconds):
            number = self._numbers[id(connection)]
            try:
                data = self._connections[number].recv_bytes(self._layout.size_bytes)
            except (EOFError, OSError) as error:
                raise ActorEnded(number, None) from error
            self._came[number].append(data)
            self.received_bytes += len(data)
            done.append((number, self._orders[number].popleft()))
        return done

    def arrays(self, number: int, block: int) -> Arrays:
        """Return the arrays of the oldest chunk of an actor that has come, until the next call."""
        data = self._came[number].popleft()
        self._block[: len(data)] = data
        return self._arrays

    def replace(self, number: int) -> None:
        """Refuse: whoever started it may start it anew."""
        raise ConnectionError(f"actor {number} has closed its connection")

    def close(self) -> None:
        """Close all connections, which ends the actors."""
        for connection in self._connections:
            connection.close()


def listen(backlog: int) -> Listener:
    """Listen on a free port of the loopback address."""
    return Listener((LOOPBACK, 0), backlog=backlog)
