"""Chunks over sockets of this machine, through the real intake; connections that end are noticed."""

from __future__ import annotations

import threading
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from chunk_layouts import NUMBERS, write_counted

from agents.experiments.fake_actors import serve_fakes
from agents.training.rollout_backends import ActorEnded
from agents.training.rollout_chunks import ChunkReader
from agents.training.rollout_intake import Intake
from agents.training.rollout_meter import RolloutMeter
from agents.training.rollout_sockets import SocketActors, listen

FRAMES = replace(NUMBERS, obs_shape=(4, 6, 5), obs_dtype="uint8", channels=1)
ACTORS = 5


def chunks_of(layout: object, count: int) -> list[bytes]:
    assert isinstance(layout, type(NUMBERS))
    chunks = []
    for number in range(count):
        block = bytearray(layout.size_bytes)
        arrays = layout.arrays(block)
        write_counted(layout, arrays, 10 * number, {"rows": layout.rows})
        chunks.append(bytes(block[: layout.used_bytes(arrays)]))
    return chunks


@pytest.mark.parametrize("layout", [NUMBERS, FRAMES], ids=["numbers", "frames"])
def test_fake_actors_send_each_chunk_that_is_ordered_once(layout: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agents.experiments.fake_actors.signal.signal", lambda *_: None)  # in a thread here
    assert isinstance(layout, type(NUMBERS))
    with listen(ACTORS) as listener:
        fakes = threading.Thread(
            target=serve_fakes, args=(listener.address, ACTORS, 0, chunks_of(layout, 3)), daemon=True
        )
        fakes.start()
        actors, reader, meter = SocketActors(layout, listener, ACTORS), ChunkReader(layout), RolloutMeter()
    intake = Intake(actors, ACTORS, 2, reader, meter, print)
    seen = []
    for restart in range(2):
        intake.restart(restart, 0, np.zeros((0, ACTORS * 2), np.int64), None)
        intake.order(4, newest=True)
        for _ in range(5):
            intake.order(4, newest=True)
            seen.append(reader.join(intake.collect()[1])["action"][0, ::2].tolist())
    while intake.ordered:
        intake.collect()
    assert meter.dropped_steps == ACTORS * 2 * 4  # what was ahead at the restart
    # Each begins with another chunk of the three and goes on in turn, also past what was dropped.
    order = [sorted(places) for places in seen]
    starts = [(turn + number) % 3 * 10 for turn in range(1) for number in range(ACTORS)]
    assert order[0] == sorted(starts) and all(len(places) == ACTORS for places in seen)
    for before, after in pairwise(seen[:5]):
        assert [(place // 10 + 1) % 3 for place in before] == [place // 10 for place in after]
    sizes = [len(chunk) for chunk in chunks_of(layout, 3)]
    assert 12 * ACTORS * min(sizes) <= actors.received_bytes <= 12 * ACTORS * max(sizes)
    intake.close()
    fakes.join(10)
    assert not fakes.is_alive()


def test_a_connection_that_ends_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    from multiprocessing.connection import Client

    with listen(2) as listener:
        clients = []
        connecting = threading.Thread(target=lambda: clients.extend(Client(listener.address) for _ in range(2)))
        connecting.start()
        actors = SocketActors(NUMBERS, listener, 2)
        connecting.join(10)
    clients[1].close()
    with pytest.raises(ActorEnded, match="actor 1 ended"):
        actors.receive(5.0)
    with pytest.raises(ConnectionError, match="actor 1 has closed its connection"):
        actors.replace(1)
    actors.close()
