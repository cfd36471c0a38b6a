"""Huffman coding of whole numbers: a prefix code with the fewest bits for given counts.

Sources: Huffman 1952, "A method for the construction of minimum-redundancy codes"; Larmore & Hirschberg 1990, "A fast
algorithm for optimal length-limited Huffman codes" (package-merge); Schwartz & Kallick 1964, "Generating a canonical
prefix encoding": the lengths alone determine the codes, so only they are written.

A message, most significant bit first:
    13 bits   S, 1 + the largest symbol (0 when there are no symbols)
    3 bits    P, the number of padding bits
    4 S bits  lengths of the codes of the symbols 0..S-1, 0 for a symbol that does not occur
    codes     of the symbols, one after the other
    P bits    0, to the end of the byte
Nothing else is a message of these symbols: `decode` refuses whatever `encode` would not have written.
"""

from __future__ import annotations

import numpy as np

LONGEST = 15  # bits of a code: what 4 bits of the table can say
LENGTH_BITS = 4
SIZE_BITS = 13
PADDING_BITS = 3
HEADER_BITS = SIZE_BITS + PADDING_BITS
LARGEST_ALPHABET = (1 << SIZE_BITS) - 1


def order0_bits(symbols: np.ndarray) -> float:
    """The order-0 bound: entropy of the symbols' frequencies times their number, in bits.

    No code that gives each symbol one fixed code takes fewer bits; adaptive coders and those with a context may.
    Source: Shannon 1948, "A mathematical theory of communication", section 9.

    symbols: (N,) integers >= 0. Raises: ValueError for anything else.
    """
    counts = _counts_of_present(symbols)
    return float((counts * np.log2(counts.sum() / counts)).sum()) if counts.size else 0.0


def huffman_bits(symbols: np.ndarray) -> int:
    """Bits of the symbols' Huffman codes, without the table.

    symbols: (N,) integers >= 0. Raises: ValueError for anything else and for more than 2^15 different ones.
    """
    counts = _counts_of_present(symbols)
    return int((counts * code_lengths(counts)).sum())


def code_lengths(counts: np.ndarray, limit: int = LONGEST) -> np.ndarray:
    """Lengths of the prefix code with the fewest bits among those with no code longer than `limit`.

    A single symbol gets 1 bit, although 0 would do. Of several such codes it is always the same one: among equal counts
    the smaller symbol has the code that is as long or longer. Source: Larmore & Hirschberg 1990, section 2.

    counts: (S,) integers >= 0, how often each symbol occurs. Returns: (S,) uint8, 0 for symbols that do not occur.
    Raises: ValueError for other counts, a limit outside 1..15, and more symbols than codes of `limit` bits.
    """
    counts = _whole_numbers(counts)
    if not 1 <= limit <= LONGEST:
        raise ValueError(f"the longest code must have 1 to {LONGEST} bits, not {limit}")
    lengths = np.zeros(counts.size, np.uint8)
    present = np.flatnonzero(counts)
    if present.size > 1 << limit:
        raise ValueError(f"{present.size} symbols are too many for codes of at most {limit} bits")
    if present.size == 1:
        lengths[present] = 1
    elif present.size:
        order = present[np.argsort(counts[present], kind="stable")]
        lengths[order] = _package_merge(counts[order], limit)
    return lengths


def _package_merge(weights: np.ndarray, limit: int) -> np.ndarray:
    """weights: (n,) int64, ascending, n >= 2 -> lengths (n,) uint8, descending.

    A symbol's length is the number of its coins, one a level, among the 2n - 2 cheapest of the last list.
    """
    n, merged, are_coins = weights.size, weights, []
    for _ in range(limit - 1):
        packages = merged[: merged.size // 2 * 2].reshape(-1, 2).sum(1)
        both = np.concatenate((weights, packages))
        order = np.argsort(both, kind="stable")  # a coin before a package of the same weight
        are_coins.append(order < n)
        merged = both[order]
    lengths, taken = np.zeros(n, np.uint8), 2 * n - 2
    for is_coin in reversed(are_coins):
        coins = int(is_coin[:taken].sum())
        lengths[:coins] += 1
        taken = 2 * (taken - coins)  # what the packages were made of
    lengths[:taken] += 1
    return lengths


def canonical_codes(lengths: np.ndarray) -> np.ndarray:
    """The codes that these lengths stand for: shorter ones first, then smaller symbols first, counting upward.

    Source: Schwartz & Kallick 1964.

    lengths: (S,) integers 0..15, 0 for symbols without a code. Returns: (S,) int64, whose lowest bits are the code.
    Raises: ValueError for lengths of no complete prefix code.
    """
    symbols, shares = _shares(lengths)
    codes = np.zeros(np.size(lengths), np.int64)
    codes[symbols] = (np.cumsum(shares) - shares) // shares
    return codes


def _shares(lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Symbols in the order of their codes, and how many of the 2^15 strings of 15 bits begin with each one's code.

    Raises: ValueError where the shares do not sum to 2^15 (Kraft 1949), except for one symbol of 1 bit and for none.
    """
    lengths = _whole_numbers(lengths)
    if lengths.size and lengths.max() > LONGEST:
        raise ValueError(f"no Huffman code is longer than {LONGEST} bits")
    present = np.flatnonzero(lengths)
    symbols = present[np.argsort(lengths[present], kind="stable")]
    shares = np.left_shift(1, LONGEST - lengths[symbols])
    whole = 1 << LONGEST - 1 if symbols.size == 1 else 1 << LONGEST
    if symbols.size and shares.sum() != whole:
        raise ValueError("the Huffman table is damaged: its lengths are those of no complete prefix code")
    return symbols, shares


def encode(symbols: np.ndarray, alphabet: int) -> bytes:
    """Write the symbols as one message (see the module), the only one that `decode` reads as these symbols.

    symbols: (N,) integers in 0..alphabet-1. alphabet: what the caller allows; the table ends with the largest symbol
    that occurs. Raises: ValueError for other symbols or an alphabet that the message cannot describe.
    """
    symbols = _whole_numbers(symbols)
    if not 0 <= alphabet <= LARGEST_ALPHABET:
        raise ValueError(f"an alphabet has 0 to {LARGEST_ALPHABET} symbols, not {alphabet}")
    if symbols.size and symbols.max() >= alphabet:
        raise ValueError(f"symbol {symbols.max()} is not in an alphabet of {alphabet}")
    lengths = code_lengths(np.bincount(symbols))
    longest = int(lengths.max(initial=0))
    in_code = np.arange(longest)[::-1] < lengths[:, None]
    codes = _to_bits(canonical_codes(lengths), longest)[symbols][in_code[symbols]]
    table = _to_bits(lengths, LENGTH_BITS).ravel()
    padding = -(HEADER_BITS + table.size + codes.size) % 8
    header = _to_bits(np.array([lengths.size << PADDING_BITS | padding]), HEADER_BITS).ravel()
    return np.packbits(np.concatenate((header, table, codes))).tobytes()


def decode(data: bytes, count: int) -> np.ndarray:
    """Read what `encode` wrote. Time and memory are at most proportional to `count` and the table.

    count: number of symbols. Returns: (count,) int64 symbols.
    Raises: ValueError for data that `encode` wrote for no `count` symbols.
    """
    size, padding = divmod(int.from_bytes(data[: HEADER_BITS // 8], "big"), 1 << PADDING_BITS)
    first = HEADER_BITS + LENGTH_BITS * size  # bit of the codes
    code_bits = 8 * len(data) - padding - first
    if len(data) < HEADER_BITS // 8 or code_bits < count:
        raise ValueError("the Huffman message was cut short")
    if code_bits > LONGEST * count:
        raise ValueError("the Huffman message has bytes after its end")
    bits = np.unpackbits(np.frombuffer(data, np.uint8))
    if bits[first + code_bits :].any():
        raise ValueError("the Huffman message is damaged: its padding is not 0")
    lengths = bits[HEADER_BITS:first].reshape(size, LENGTH_BITS) @ np.array([8, 4, 2, 1])
    symbols = _read_codes(bits[first : first + code_bits], lengths, count)
    if encode(symbols, size) != data:
        raise ValueError("the Huffman message is damaged: its table is not that of its symbols")
    return symbols


def _read_codes(bits: np.ndarray, lengths: np.ndarray, count: int) -> np.ndarray:
    """bits: (B,) uint8 of 0 and 1, exactly `count` codes. Raises: ValueError.

    Table lookup: the 15 bits from any place on tell the symbol whose code begins there, and its length.
    """
    in_order, shares = _shares(lengths)
    symbol_of, length_of = np.zeros(1 << LONGEST, np.int64), np.zeros(1 << LONGEST, np.uint8)
    used = int(shares.sum())  # all of them, but for a single symbol; length 0 marks the rest
    symbol_of[:used] = np.repeat(in_order, shares)
    length_of[:used] = np.repeat(lengths[in_order], shares)
    windows = _windows(bits)
    steps, place, places = length_of[windows].tobytes(), 0, []
    for _ in range(count):
        step = steps[place] if place < len(steps) else 0
        if not step:
            raise ValueError("the Huffman message was cut short or damaged: not all of its symbols can be read")
        places.append(place)
        place += step
    if place > len(steps):
        raise ValueError("the Huffman message was cut short: its last code is not whole")
    if place < len(steps):
        raise ValueError("the Huffman message has more codes than symbols")
    return symbol_of[windows[np.array(places, np.int64)]]


def _windows(bits: np.ndarray) -> np.ndarray:
    """bits: (B,) uint8 -> (B,) uint16, the 15 bits from each one on as a number, with zeros after the end."""
    padded = np.concatenate((bits, np.zeros(LONGEST, np.uint8)))
    windows = np.zeros(bits.size, np.uint16)
    for offset in range(LONGEST):
        windows = windows << 1 | padded[offset : offset + bits.size]
    return windows


def _to_bits(numbers: np.ndarray, width: int) -> np.ndarray:
    """numbers: (N,) integers -> (N, width) uint8 of 0 and 1, most significant first."""
    bits: np.ndarray = (numbers[:, None] >> np.arange(width)[::-1] & 1).astype(np.uint8)
    return bits


def _counts_of_present(symbols: np.ndarray) -> np.ndarray:
    """How often each symbol that occurs does, by symbol; by sorting, because a symbol may be any number."""
    return np.unique(_whole_numbers(symbols), return_counts=True)[1]


def _whole_numbers(numbers: np.ndarray) -> np.ndarray:
    """numbers as (N,) int64. Raises: ValueError for other shapes, for fractions and for numbers below 0."""
    array = np.asarray(numbers)
    whole = array.astype(np.int64) if array.dtype.kind in "iu" or not array.size else None
    if whole is None or whole.ndim != 1 or whole.min(initial=0) < 0:
        raise ValueError("a flat array of whole numbers >= 0 is needed")
    return whole
