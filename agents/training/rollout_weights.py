"""Weights that one process publishes and others read, in shared memory, without a lock that one could die with."""

from __future__ import annotations

import time
from collections.abc import Callable
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
        self._tensors = [tensor for tensor in network.state_dict().values() if isinstance(tensor, torch.Tensor)]
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
        place = number % self._places
        marks, begin = self._marks[place], 0
        marks[0] = number
        for tensor in self._tensors:
            flat = tensor.detach().cpu().contiguous().view(-1).numpy().view(np.uint8)
            self._bytes[place, begin : begin + len(flat)] = flat
            begin += len(flat)
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
                    self._load(found)
                    return version
            if number != NEWEST:
                raise LookupError(f"weights of publication {number} are gone")
            pause(0.001)

    @torch.no_grad()
    def _load(self, flat: np.ndarray) -> None:
        begin = 0
        for tensor in self._tensors:
            size = tensor.numel() * tensor.element_size()
            part = torch.from_numpy(flat[begin : begin + size].copy()).view(tensor.dtype).view(tensor.shape)
            tensor.copy_(part)
            begin += size


def bytes_of(network: nn.Module) -> int:
    """Return the bytes of a network's state."""
    return sum(x.numel() * x.element_size() for x in network.state_dict().values() if isinstance(x, torch.Tensor))
