"""An adaptive binary range coder: bits at their price under probabilities that it learns as it goes.

Integers alone, so that a file decodes alike on every machine. Source: Martin 1979, "Range encoding: an algorithm for
removing redundancy from a digitised message", with carries propagated as in the LZMA format; each context is the mean
of a fast and a slow estimate, as in the entropy coder of HEVC's successor (Marpe et al. 2003, "Context-based adaptive
binary arithmetic coding in the H.264/AVC video compression standard", describes contexts and binarization).
"""

from __future__ import annotations

import math
import sys

PRECISION = 16  # bits of a probability
HALF = 1 << (PRECISION - 1)
LEAST = 32  # of a probability, and of its complement
MOST = (1 << PRECISION) - LEAST
TOP = 1 << 24  # the range is at least this after each bit
MASK = (1 << 32) - 1
FAST, SLOW = 5, 8  # an estimate moves by 2^-FAST, 2^-SLOW of its error
FIRST_BYTES = 5  # that the decoder reads before its first bit, the first of them always zero


def contexts(count: int) -> list[list[int]]:
    """Begin `count` adaptive probabilities that a bit is 0: the fast and the slow estimate, and 2 + the bits seen.

    An estimate begins by moving far, by half of its error at the first bit, a third at the second and so on.
    """
    return [[HALF, HALF, 2] for _ in range(count)]


def zero_share(context: list[int]) -> int:
    """Probability of 0 in units of 2^-PRECISION, never 0 or 1."""
    share = (context[0] + context[1]) >> 1
    if share < LEAST:  # comparisons, as min and max take twice the time of all the rest
        return LEAST
    return share if share < MOST else MOST


def learn(context: list[int], bit: int) -> None:
    """Move both estimates towards a bit."""
    fast, slow, share = context
    target = 0 if bit else 1 << PRECISION
    if share < 1 << SLOW:
        context[2] = share + 1
        # divided towards minus infinity, as the shifts are
        context[0] = fast + (target - fast) // (share if share < 1 << FAST else 1 << FAST)
        context[1] = slow + (target - slow) // share
    else:
        context[0] = fast + (target - fast >> FAST)
        context[1] = slow + (target - slow >> SLOW)


def shortest(low: int, width: int) -> int:
    """Return the number in [low, low + width) with the most zero bytes at its end."""
    for zeros in (32, 24, 16, 8):
        number = (low + (1 << zeros) - 1) >> zeros << zeros
        if number < low + width:
            return number
    return low


class Encoder:
    """Writes bits. `bits` counts them."""

    def __init__(self) -> None:
        self.bits = 0
        self._low, self._range = 0, MASK
        self._cache, self._pending = 0, 1  # a byte that a carry may still change, and the bytes 0xFF behind it, plus 1
        self._bytes = bytearray()

    def bit(self, context: list[int], bit: int) -> None:
        """Write a bit under an adaptive probability."""
        self.bits += 1
        bound = (self._range >> PRECISION) * zero_share(context)
        if bit:
            self._low += bound
            self._range -= bound
        else:
            self._range = bound
        learn(context, bit)
        while self._range < TOP:
            self._range = (self._range << 8) & MASK
            self._shift()

    def direct(self, value: int, bits: int) -> None:
        """Write equally likely bits, the highest first."""
        self.bits += bits
        for place in range(bits - 1, -1, -1):
            self._range >>= 1
            if value >> place & 1:
                self._low += self._range
            while self._range < TOP:
                self._range = (self._range << 8) & MASK
                self._shift()

    def finish(self) -> bytes:
        """Return the message; its end is as short as the decoder allows."""
        self._low = shortest(self._low, self._range)  # any number in the range will do
        for _ in range(FIRST_BYTES):
            self._shift()
        return bytes(self._bytes[1:]).rstrip(b"\0")

    def _shift(self) -> None:
        if self._low < 0xFF000000 or self._low > MASK:
            carry = self._low >> 32
            for _ in range(self._pending):
                self._bytes.append((self._cache + carry) & 0xFF)
                self._cache = 0xFF
            self._pending = 0
            self._cache = self._low >> 24 & 0xFF
        self._pending += 1
        self._low = (self._low & 0x00FFFFFF) << 8


class Decoder:
    """Reads bits; `bits` counts them. Beyond the end of the message it reads zeros, as `Encoder.finish` omits them."""

    def __init__(self, data: bytes, most_bits: int = sys.maxsize) -> None:
        """most_bits: after which, a byte of the message later at most, it gives up.

        A byte can stand for 11,000 bits, so the length of a message does not bound the time that it takes.
        """
        self.bits = 0
        self._data, self._most_bits = data, most_bits
        self._place, self._range = 4, MASK
        self._code = int.from_bytes(data[:4].ljust(4, b"\0"), "big")

    @property
    def bytes_used(self) -> float:
        """Bytes of the message that are decoded, to a fraction of a bit."""
        return self._place - 4 + (32 - math.log2(self._range)) / 8

    @property
    def whole(self) -> bool:
        """Whether the message is what `Encoder.finish` returns after the bits that were read, byte for byte."""
        if self._place < len(self._data) or self._data.endswith(b"\0"):
            return False
        window = int.from_bytes(self._data[self._place - 4 : self._place].ljust(4, b"\0"), "big")
        low = (window - self._code) & MASK  # of the encoder, but for its carry
        return low + self._code == shortest(low, self._range)

    def bit(self, context: list[int]) -> int:
        """Read a bit under an adaptive probability. Raises: ValueError, as `direct`."""
        self.bits += 1
        bound = (self._range >> PRECISION) * zero_share(context)
        if self._code < bound:
            self._range, bit = bound, 0
        else:
            self._code -= bound
            self._range -= bound
            bit = 1
        learn(context, bit)
        while self._range < TOP:
            self._refill()
        return bit

    def direct(self, bits: int) -> int:
        """Read equally likely bits. Raises: ValueError for a message that no encoder wrote, or after `most_bits`."""
        self.bits += bits
        value = 0
        for _ in range(bits):
            self._range >>= 1
            bit = self._code >= self._range
            if bit:
                self._code -= self._range
            value = value << 1 | bit
            while self._range < TOP:
                self._refill()
        return value

    def _refill(self) -> None:
        if self._code >= self._range:  # once so, it stays so until here
            raise ValueError("its numbers are damaged")
        if self.bits > self._most_bits:
            raise ValueError(f"it takes more than {self._most_bits:,} steps to read")
        byte = self._data[self._place] if self._place < len(self._data) else 0
        self._place += 1
        self._code = (self._code << 8 | byte) & MASK
        self._range = (self._range << 8) & MASK
