"""Fake actors: they send recorded chunks as soon as they are ordered, over sockets, many in one process."""

from __future__ import annotations

import resource
import signal
from dataclasses import replace
from multiprocessing.connection import Client, Connection, wait
from typing import Any

import numpy as np

from agents.training.rollout_actor import Actor, Order, Recipe, Start
from agents.training.rollout_chunks import IDS, ChunkLayout
from agents.training.rollout_sockets import BEGIN, ORDER


def recorded_chunks(recipe: Recipe, count: int) -> tuple[ChunkLayout, list[bytes]]:
    """Play chunks in a row and return their bytes. Of what an actor remembers eight zeros are sent in each row."""
    actor = Actor(recipe)
    actor.begin(Start(0, 0, np.zeros((0, recipe.envs), np.int64), None))
    layout, chunks = replace(actor.layout, mind_bytes=8), []
    played, sent = bytearray(actor.layout.size_bytes), bytearray(layout.size_bytes)
    arrays, copies = actor.layout.arrays(played), layout.arrays(sent)
    for serial in range(count):
        actor.play(arrays, Order(0, 0, serial, recipe.rows, 0), version=0, waited=0.0)
        for name, array in copies.items():
            if name != "mind":
                array[...] = arrays[name]
        chunks.append(bytes(sent[: layout.used_bytes(copies)]))
    actor.runner.close()
    return layout, chunks


def raise_file_limit(needed: int) -> None:
    """Allow this process so many open files. Raises: OSError where the system does not."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < needed:
        if hard != resource.RLIM_INFINITY and hard < needed:
            raise OSError(f"{needed} connections need as many open files, and the system allows {hard}: ulimit -Hn")
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def serve_fakes(address: Any, count: int, first: int, chunks: list[bytes]) -> None:
    """Be `count` fake actors in this process until their connections end.

    first: each begins with another chunk, from this one on.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    raise_file_limit(count + 100)
    connections: list[Connection] = [Client(address) for _ in range(count)]
    turns = {id(connection): first + number for number, connection in enumerate(connections)}
    blocks = [bytearray(chunk) for chunk in chunks]
    ids = [np.frombuffer(block, np.int64, len(IDS)) for block in blocks]
    actor, epoch, serial = (IDS.index(name) for name in ("actor", "epoch", "serial"))
    numbers = {id(connection): -1 for connection in connections}
    while connections:
        for connection in wait(connections):
            assert isinstance(connection, Connection)
            try:
                message = connection.recv_bytes()
                if message.startswith(BEGIN):
                    numbers[id(connection)] = int(message[len(BEGIN) :])
                    continue
                place = turns[id(connection)] % len(blocks)
                turns[id(connection)] += 1
                order = Order(*ORDER.unpack(message))
                ids[place][[actor, epoch, serial]] = numbers[id(connection)], order.epoch, order.serial
                connection.send_bytes(blocks[place])
            except (EOFError, OSError):
                connections.remove(connection)
                connection.close()
