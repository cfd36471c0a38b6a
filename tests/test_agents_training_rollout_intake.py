"""The intake against actors that answer when they like and die when they like: every step once and in order."""

from __future__ import annotations

from collections import deque
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from chunk_layouts import NUMBERS, write_counted

from agents.training.rollout_actor import Order, Start
from agents.training.rollout_backends import ActorEnded
from agents.training.rollout_chunks import Arrays, ChunkReader
from agents.training.rollout_intake import Intake
from agents.training.rollout_meter import RolloutMeter

BLOCKS, ACTORS = 3, 2


class MoodyActors:
    """Each follows its messages in order, as many at a time as it likes, or dies of the next one.

    place: vector steps since the restart, which it shows; an actor that died in a chunk has written half of it.
    """

    def __init__(self, seed: int, mortality: float) -> None:
        self.rng, self.mortality = np.random.default_rng(seed), mortality
        self.blocks = [[NUMBERS.arrays(bytearray(NUMBERS.size_bytes)) for _ in range(BLOCKS)] for _ in range(ACTORS)]
        self.messages: list[deque[Start | Order]] = [deque() for _ in range(ACTORS)]
        self.answers: list[deque[Order]] = [deque() for _ in range(ACTORS)]
        self.place, self.published, self.deaths = [0] * ACTORS, [0], 0
        self.dead: set[int] = set()

    def begin(self, number: int, start: Start) -> None:
        self.messages[number].append(start)

    def order(self, number: int, order: Order) -> None:
        self.messages[number].append(order)

    def publish(self, publication: int, version: int) -> None:
        self.published.append(version)

    def _work(self, number: int) -> None:
        message = self.messages[number].popleft()
        if isinstance(message, Start):
            expected = 0 if message.mind is None else int(message.mind.view(np.int64)[0])
            assert expected >= len(message.actions)  # what it remembers goes on over restarts
            assert message.actions.tolist() == [[place] * NUMBERS.envs for place in range(len(message.actions))]
            self.place[number] = len(message.actions)
            return
        arrays, version = self.blocks[number][message.block], self.published[message.publication]
        if self.rng.random() < self.mortality:
            arrays["obs"][:2] = -1
            self.dead.add(number)
            return
        ids = {"actor": number, "epoch": message.epoch, "serial": message.serial, "rows": message.rows}
        write_counted(NUMBERS, arrays, self.place[number], ids | {"version": version})
        self.place[number] += message.rows
        self.answers[number].append(message)

    def receive(self, seconds: float) -> list[tuple[int, Order]]:
        for number in range(ACTORS):
            for _ in range(self.rng.integers(4)):
                if self.messages[number] and number not in self.dead:
                    self._work(number)
        done = [(number, own.popleft()) for number, own in enumerate(self.answers) if own and self.rng.random() < 0.7]
        for number in self.dead:
            if not done and not self.answers[number]:
                self.deaths += 1
                raise ActorEnded(number, -9)
        return done

    def arrays(self, number: int, block: int) -> Arrays:
        return self.blocks[number][block]

    def replace(self, number: int) -> None:
        self.dead.discard(number)
        self.messages[number].clear()
        self.answers[number].clear()

    def close(self) -> None:
        pass


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("mortality", [0.0, 0.15])
def test_every_step_comes_once_and_in_order_whatever_dies(seed: int, mortality: float) -> None:
    actors, meter, rng = MoodyActors(seed, mortality), RolloutMeter(), np.random.default_rng(seed)
    intake = Intake(actors, ACTORS, BLOCKS, ChunkReader(NUMBERS), meter, lambda line: None)
    played = taken = dropped = 0
    minds: Any = None
    for restart in range(4):
        intake.restart(restart, played, np.zeros((0, ACTORS * NUMBERS.envs), np.int64), minds)
        seen: list[list[Arrays]] = []
        for version in range(rng.integers(2, 9)):
            intake.publish(version)
            while intake.ordered < BLOCKS:
                intake.order(int(rng.integers(1, 5)), newest=False)
            seen.append(intake.collect()[1])
        for number in range(ACTORS):
            own = [chunks[number] for chunks in seen]
            assert own[0]["obs"][0, 0, 0] == 0  # a restart begins games anew
            for one, other in pairwise(own):
                assert one["obs"][-1, 0, 0] == other["obs"][0, 0, 0]
                assert one["version"] <= other["version"]
            places = np.concatenate([chunk["action"][:, 0] for chunk in own])
            assert places.tolist() == list(range(len(places)))
        taken += sum(chunk["reward"].size for chunks in seen for chunk in chunks)
        minds = np.stack([chunk["mind"][-1] for chunk in seen[-1]])
        played += sum(len(chunks[0]["reward"]) for chunks in seen)
        dropped = meter.dropped_steps
    assert meter.replaced == actors.deaths and (actors.deaths > 0) == (mortality > 0)
    assert taken == played * ACTORS * NUMBERS.envs and dropped > 0
