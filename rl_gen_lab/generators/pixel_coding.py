"""Pixels of few colors as intervals of an entropy coder, in blocks.

First it is coded whether all pixels of a block have their likeliest color, nearly always yes, and only in the other
blocks pixel by pixel, with the probabilities that this leaves. By the chain rule that costs what coding every pixel
would cost, in a hundredth of the steps.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable
from typing import Protocol

import numpy as np

from rl_gen_lab.compression.ans import Stack

BLOCK = 64  # pixels
PRECISION, SMALL_PRECISION = 32, 24  # bits of the probabilities: of two outcomes, of several


class Coder(Protocol):
    """Codes outcomes one after the other, in the same order on both sides.

    When images are written, the outcome is given and comes back as it is; when they are read, None is given.
    """

    def either(self, probability: float, outcome: bool | None) -> bool:
        """An event of this probability."""

    def one_of(self, probabilities: np.ndarray, outcome: int | None) -> int:
        """One of several symbols. probabilities: (K,), not all zero, scaled anyhow."""

    def plain(self, bits: int, outcome: int | None) -> int:
        """A number of so many bits, all equally likely."""


class Writer:
    """Collects outcomes and pushes them onto the stack in reverse, so that they are popped in order."""

    def __init__(self) -> None:
        self.intervals: list[tuple[int, int, int]] = []

    def either(self, probability: float, outcome: bool | None) -> bool:
        """As `Coder`."""
        width = _width(probability)
        interval = (0, width) if outcome else (width, (1 << PRECISION) - width)
        self.intervals.append((*interval, PRECISION))
        return bool(outcome)

    def one_of(self, probabilities: np.ndarray, outcome: int | None) -> int:
        """As `Coder`."""
        assert outcome is not None
        edges = _edges(probabilities)
        self.intervals.append((edges[outcome], edges[outcome + 1] - edges[outcome], SMALL_PRECISION))
        return outcome

    def plain(self, bits: int, outcome: int | None) -> int:
        """As `Coder`."""
        assert outcome is not None
        self.intervals.append((outcome, 1, bits))
        return outcome

    def push(self, stack: Stack) -> None:
        """Move everything onto the stack."""
        for interval in reversed(self.intervals):
            stack.push(*interval)
        self.intervals = []


class Reader:
    """Pops outcomes from the stack."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack

    def either(self, probability: float, outcome: bool | None) -> bool:
        """As `Coder`."""
        width = _width(probability)
        rest = (1 << PRECISION) - width
        return bool(self.stack.pop(PRECISION, lambda place: (1, 0, width) if place < width else (0, width, rest)))

    def one_of(self, probabilities: np.ndarray, outcome: int | None) -> int:
        """As `Coder`."""
        return self.stack.pop(SMALL_PRECISION, _finder(_edges(probabilities)))

    def plain(self, bits: int, outcome: int | None) -> int:
        """As `Coder`."""
        return self.stack.pop_uniform(bits)


def code_pixels(coder: Coder, log_p: np.ndarray, numbers: np.ndarray | None) -> np.ndarray:
    """Code the colors of an image's pixels.

    log_p: (K, P) float64 [nats], of each color for each pixel; numbers: (P,) int64, None to read. Returns the numbers.
    """
    likeliest = log_p.argmax(0)
    best = np.take_along_axis(log_p, likeliest[None], 0)[0]
    result = likeliest.copy() if numbers is None else numbers
    different = None if numbers is None else numbers != likeliest
    for first in range(0, len(best), BLOCK):
        block = slice(first, first + BLOCK)
        # tail[i]: log probability that pixel i and all later ones of the block have their likeliest color
        tail = [*np.cumsum(best[block][::-1])[::-1].tolist(), 0.0]
        place, last = 0, len(tail) - 1
        while place < last:
            known = None if different is None else not different[block][place:].any()
            if coder.either(math.exp(tail[place]), known):
                break
            place = _next_exception(coder, best[block], tail, place, None if different is None else different[block])
            pixel = first + place
            others = log_p[:, pixel].copy()
            others[likeliest[pixel]] = -np.inf
            others = np.exp(others - others.max())
            result[pixel] = coder.one_of(others, None if numbers is None else int(numbers[pixel]))
            place += 1
    return result


def _next_exception(coder: Coder, best: np.ndarray, tail: list[float], place: int, different: np.ndarray | None) -> int:
    """Code the place of the next pixel that does not have its likeliest color, where it is known that there is one."""
    last = len(best) - 1
    while place < last:
        # P(this one has it | not all from here on have it), without the cancellation of probabilities near 1
        share = math.exp(best[place]) * math.expm1(tail[place + 1]) / min(math.expm1(tail[place]), -1e-300)
        if not coder.either(share, None if different is None else not different[place]):
            return place
        place += 1
    return last


def _width(probability: float) -> int:
    return min(max(round(probability * (1 << PRECISION)), 1), (1 << PRECISION) - 1)


def _edges(probabilities: np.ndarray) -> list[int]:
    """Return where the intervals of several symbols begin and the last ends; none is empty."""
    free = (1 << SMALL_PRECISION) - len(probabilities)
    cumulative = np.cumsum(probabilities / probabilities.sum())
    inner = np.floor(free * np.minimum(cumulative[:-1], 1.0)).astype(np.int64) + np.arange(1, len(probabilities))
    return [0, *inner.tolist(), 1 << SMALL_PRECISION]


def _finder(edges: list[int]) -> Callable[[int], tuple[int, int, int]]:
    def find(place: int) -> tuple[int, int, int]:
        symbol = bisect_right(edges, place) - 1
        return symbol, edges[symbol], edges[symbol + 1] - edges[symbol]

    return find
