"""Published weights: whole, of the version that was asked for, and never half of one and half of the next."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from agents.training.rollout_weights import SharedWeights, bytes_of, flatten, load, tensors_of


class Network(nn.Module):
    """Weights and buffers of several types."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("known", torch.tensor(False))
        self.layer = nn.Linear(3, 2)
        self.register_buffer("count", torch.zeros(()))
        self.register_buffer("number", torch.arange(3))

    def fill(self, value: int) -> None:
        with torch.no_grad():
            for tensor in self.state_dict().values():
                tensor.fill_(value)

    def values(self) -> set[float]:
        return {float(x) for tensor in self.state_dict().values() for x in tensor.flatten()}


def pair(places: int) -> tuple[Network, SharedWeights, Network, SharedWeights]:
    ours = Network()
    theirs = copy.deepcopy(ours)
    shared = bytearray(SharedWeights.size_bytes(ours, places))
    return ours, SharedWeights(shared, ours, places), theirs, SharedWeights(shared, theirs, places)


def test_weights_that_came_as_bytes_are_those_that_were_sent() -> None:
    ours, _, theirs, shared = pair(2)
    ours.fill(1)
    flat = np.empty(bytes_of(ours), np.uint8)
    flatten(tensors_of(ours), flat)
    shared.put(5, 7, [torch.from_numpy(flat)])
    assert shared.fetch() == 7 and theirs.values() == {1.0}
    flat.flags.writeable = False  # as another process' memory
    third = Network()
    load(tensors_of(third), flat)
    assert all(torch.equal(tensor, ours.state_dict()[name]) for name, tensor in third.state_dict().items())


def test_a_reader_gets_the_weights_and_their_version() -> None:
    ours, publisher, theirs, reader = pair(3)
    for number in range(1, 6):
        ours.layer.weight.data += number
        ours.state_dict()["known"].fill_(number % 2 == 0)
        publisher.publish(number, version=10 * number)
        assert reader.fetch() == 10 * number
        for one, other in zip(ours.state_dict().values(), theirs.state_dict().values(), strict=True):
            assert torch.equal(one, other)


def test_the_last_publications_are_kept_and_older_ones_are_refused() -> None:
    ours, publisher, theirs, reader = pair(3)
    for number in range(1, 6):
        ours.fill(number)
        publisher.publish(number, number)
    for number in (3, 4, 5):
        assert reader.fetch(number) == number and theirs.values() == {1.0, number}  # 1: what is true
    with pytest.raises(LookupError, match="weights of publication 2 are gone"):
        reader.fetch(2)


def test_weights_that_change_while_they_are_read_are_read_again() -> None:
    """The publisher comes between the reader's copy and its check, twice, and overwrites the place."""
    ours, publisher, theirs, reader = pair(2)
    ours.fill(1)
    publisher.publish(1, 1)
    load, turns = reader._bytes, iter([(2, 3), (4, 5)])

    class Interrupted:
        """An array at which the publisher arrives when it has been read."""

        def __getitem__(self, place: int) -> object:
            copied = load[place].copy()
            for number in next(turns, ()):
                ours.fill(number)
                publisher.publish(number, number)
            return copied

    reader._bytes = Interrupted()  # type: ignore[assignment]
    assert reader.fetch() == 5 and theirs.values() == {1.0, 5.0}


def test_a_reader_waits_while_the_newest_is_being_written() -> None:
    ours, publisher, theirs, reader = pair(2)
    ours.fill(1)
    publisher.publish(1, 1)
    publisher._newest[0] = 2  # of which nothing is there yet

    def arrives(seconds: float) -> None:
        ours.fill(2)
        publisher.publish(2, 2)

    assert reader.fetch(pause=arrives) == 2 and theirs.values() == {1.0, 2.0}
