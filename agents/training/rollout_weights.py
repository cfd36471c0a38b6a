"""Weights that one process publishes and others read, in shared memory, without a lock that one could die with.

What travels otherwise is the same flat bytes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

NEWEST = -1


class SharedWeights:
    """The last few publications of a network's state, each in a place of its own.

    A place has the number of its publication before and after the weights, so that a reader sees whether they changed
    under it. buffer: bytes that all processes share; places: publications that are kept.
    """

    def __init__(self, buffer: Any, network: nn.Module, places: int) -> None:
        self._tensors = tensors_of(network)
        self._places, size = places, bytes_of(network)
        numbers = 8 * (1 + 3 * places)
        self._newest = np.ndarray((1,), np.int64, buffer)
        self._marks = np.ndarray((places, 3), np.int64, buffer, 8)  # publication before and after, version
        self._bytes = np.ndarray((places, size), np.uint8, buffer, numbers)

    @staticmethod
    def size_bytes(network: nn.Module, places: int) -> int:
        """Return the bytes to share."""
        return 8 * (1 + 3 * places) + places * bytes_of(network)

    def publish(self, number: int, version: int) -> None:
        """Publish the network's weights. number: of the publication, from 1 on; version: updates that made them."""
        self.put(number, version, self._tensors)

    def put(self, number: int, version: int, weights: Sequence[torch.Tensor]) -> None:
        """Publish these weights, or their flat bytes in one piece, in place of the network's; see `publish`."""
        place = number % self._places
        marks = self._marks[place]
        marks[0] = number
        flatten(weights, self._bytes[place])
        marks[2] = version
        marks[1] = self._newest[0] = number

    def fetch(self, number: int = NEWEST, pause: Callable[[float], None] = time.sleep) -> int:
        """Copy a publication into the network; return its version. Waits while the newest is being overwritten.

        Raises: LookupError for a given one that is no longer there.
        """
        while True:
            wanted = int(self._newest[0]) if number == NEWEST else number
            place = wanted % self._places
            if int(self._marks[place, 1]) == wanted:
                found, version = self._bytes[place].copy(), int(self._marks[place, 2])
                if int(self._marks[place, 0]) == wanted:
                    load(self._tensors, found)
                    return version
            if number != NEWEST:
                raise LookupError(f"weights of publication {number} are gone")
            pause(0.001)


def tensors_of(network: nn.Module) -> list[torch.Tensor]:
    """Return the tensors of a network's state, which they share."""
    return [tensor for tensor in network.state_dict().values() if isinstance(tensor, torch.Tensor)]


def bytes_of(network: nn.Module) -> int:
    """Return the bytes of a network's state."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors_of(network))


def flatten(tensors: Sequence[torch.Tensor], flat: np.ndarray) -> None:
    """Write the bytes of tensors one behind the other. flat: (bytes,) uint8."""
    begin = 0
    for tensor in tensors:
        part = tensor.detach().cpu().contiguous().view(-1).numpy().view(np.uint8)
        flat[begin : begin + len(part)] = part
        begin += len(part)


@torch.no_grad()
def load(tensors: Sequence[torch.Tensor], flat: np.ndarray) -> None:
    """Copy what `flatten` wrote into tensors of the same kinds."""
    begin = 0
    for tensor in tensors:
        size = tensor.numel() * tensor.element_size()
        tensor.copy_(torch.from_numpy(flat[begin : begin + size].copy()).view(tensor.dtype).view(tensor.shape))
        begin += size
