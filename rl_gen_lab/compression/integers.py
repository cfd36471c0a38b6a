"""Whole numbers of a weight tensor as bits with contexts: most are 0, and zeros come in company.

A row (an output channel or unit) of zeros costs one bit. Elsewhere each number is: is it 0, given how many of its left
and upper neighbors are; its sign; and its size, one by one with a context each, above `UNARY` in an Exp-Golomb code.
The same function describes writing and reading, so that the two cannot differ.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from rl_gen_lab.compression.range_coder import Decoder, Encoder, contexts

UNARY = 14  # sizes up to this are told one by one
LARGEST = (1 << 31) - 1  # size of a number
LONGEST = 30  # bits of the Exp-Golomb code behind its first 1: LARGEST - UNARY has so many
# contexts: rows, is it 0 (by two neighbors), sign (by the left neighbor's), sizes, length of the Exp-Golomb code
ROW, ZERO, SIGN, SIZE, LONG = 0, 1, 4, 7, 7 + UNARY
CONTEXTS = LONG + LONGEST + 1

# bit(context, value to write; ignored when reading) -> the bit; direct(bits, value) -> the value
Bit = Callable[[int, int], int]
Direct = Callable[[int, int], int]


def encode(encoder: Encoder, codes: np.ndarray) -> None:
    """Write numbers (rows, columns), integers of at most `LARGEST` in size. Raises: ValueError for a larger one."""
    if not codes.size:
        return
    known = contexts(CONTEXTS)

    def bit(context: int, value: int) -> int:
        encoder.bit(known[context], value)
        return value

    def direct(bits: int, value: int) -> int:
        encoder.direct(value, bits)
        return value

    above = [0] * codes.shape[1]
    for numbers in codes:
        row = numbers.tolist()
        _code(bit, direct, row, above)
        above = row


def decode(decoder: Decoder, rows: int, columns: int) -> np.ndarray:
    """Read numbers (rows, columns), int32. Raises: ValueError for a message that no encoder wrote."""
    codes = np.zeros((rows, columns), np.int32)
    if not codes.size:
        return codes
    known = contexts(CONTEXTS)

    def bit(context: int, _: int) -> int:
        return decoder.bit(known[context])

    def direct(bits: int, _: int) -> int:
        return decoder.direct(bits)

    zeros = above = [0] * columns
    for numbers in codes:  # Python's own integers for two rows at a time only: they take ten times the memory
        row = zeros.copy()
        if _code(bit, direct, row, above):
            numbers[:] = row
        above = row
    return codes


def _code(bit: Bit, direct: Direct, row: list[int], above: list[int]) -> bool:
    """Pass a row through the coder, bit by bit; reading fills it. Return whether it has any number but 0."""
    if not bit(ROW, int(any(row))):
        return False
    left = 0
    for column, upper in enumerate(above):
        value = row[column]
        if not bit(ZERO + (left != 0) + (upper != 0), int(value != 0)):
            left = 0
            continue
        negative = bit(SIGN + (0 if left == 0 else 1 if left > 0 else 2), int(value < 0))
        size = _size(bit, direct, abs(value))
        row[column] = left = -size if negative else size
    if not any(row):
        raise ValueError("a row of zeros takes more than one bit")
    return True


def _size(bit: Bit, direct: Direct, size: int) -> int:
    """Pass a size of at least 1 through the coder."""
    for known in range(1, UNARY + 1):
        if not bit(SIZE + known - 1, int(size > known)):
            return known
    rest = size - UNARY  # at least 1
    length = 0
    while length <= LONGEST and bit(LONG + length, int(rest >> (length + 1) > 0)):
        length += 1
    size = UNARY + ((1 << length) | direct(length, rest & ((1 << length) - 1)))
    if size > LARGEST:
        raise ValueError("a number is too large")
    return size
