"""An entropy coder that works like a stack: what is pushed last is popped first.

Source: Duda 2013, "Asymmetric numeral systems: entropy coding combining speed of Huffman coding with compression rate
of arithmetic coding", section 3 (rANS). Its length is the sum of -log2 of the probabilities, to about 2^-30 a symbol,
and 10 bytes. Because it is a stack, popping with a distribution draws a sample from it and returns the bits when the
sample is pushed back: bits back (Townsend et al. 2019, "Practical lossless compression with latent variables using bits
back coding").
"""

from __future__ import annotations

from collections.abc import Callable

WORD = 32  # bits that leave the state at a time
LOWEST = 1 << 48  # the state stays between this and LOWEST << WORD
MAX_PRECISION = WORD  # bits of a probability
TAIL_BYTES = 10  # of the state at the end of the file


class Stack:
    """A message under construction.

    Intervals stand for symbols: a share `width` of 2^precision, beginning at `start`; those of different symbols are
    disjoint. Both sides must agree on them exactly.
    """

    def __init__(self, data: bytes = b"") -> None:
        """data: as `to_bytes` returned. Raises: ValueError for data that no stack returned."""
        if data and (len(data) < TAIL_BYTES or (len(data) - TAIL_BYTES) % (WORD // 8)):
            raise ValueError("the message was cut short")
        size = WORD // 8
        self.state = int.from_bytes(data[-TAIL_BYTES:], "little") if data else LOWEST
        if data and not LOWEST <= self.state < LOWEST << WORD:
            raise ValueError("the message is damaged")
        end = len(data) - TAIL_BYTES
        self.words = [int.from_bytes(data[i : i + size], "little") for i in range(0, end, size)] if data else []

    def push(self, start: int, width: int, precision: int) -> None:
        """Add a symbol's interval."""
        if self.state >= (LOWEST >> precision << WORD) * width:
            self.words.append(self.state & ((1 << WORD) - 1))
            self.state >>= WORD
        self.state = (self.state // width << precision) + self.state % width + start

    def pop(self, precision: int, find: Callable[[int], tuple[int, int, int]]) -> int:
        """Take the last symbol. find(place): symbol, start and width of the interval that holds `place`.

        Raises: ValueError when nothing is left.
        """
        place = self.state & ((1 << precision) - 1)
        symbol, start, width = find(place)
        self.state = width * (self.state >> precision) + place - start
        if self.state < LOWEST:
            if not self.words:
                raise ValueError("the message ended too soon")
            self.state = self.state << WORD | self.words.pop()
        return symbol

    def push_uniform(self, symbol: int, bits: int) -> None:
        """Add one of 2^bits equally likely symbols."""
        self.push(symbol, 1, bits)

    def pop_uniform(self, bits: int) -> int:
        """Take one of 2^bits equally likely symbols. Raises: ValueError."""
        return self.pop(bits, lambda place: (place, place, 1))

    @property
    def bits(self) -> float:
        """Length of the message so far, without its beginning."""
        return WORD * len(self.words) + self.state.bit_length() - LOWEST.bit_length()

    def to_bytes(self) -> bytes:
        """Return the message."""
        words = b"".join(word.to_bytes(WORD // 8, "little") for word in self.words)
        return words + self.state.to_bytes(TAIL_BYTES, "little")
