"""Where the nonzero entries of a sparse array are, as small numbers: how many zeros lie before each of them.

Source: Han et al. 2016, "Deep compression: compressing deep neural networks with pruning, trained quantization and
Huffman coding", section 2, figure 2.
"""

from __future__ import annotations

import numpy as np

WIDTHS = range(1, 9)  # bits of an index


def gaps(mask: np.ndarray) -> np.ndarray:
    """Count the zeros between each nonzero entry and the one before it, or the beginning.

    mask: any shape, read in C order, zero or False where the array is zero. Returns: (nonzero entries,) int64.
    """
    return np.diff(np.flatnonzero(mask), prepend=-1) - 1


def positions(gaps: np.ndarray, size: int) -> np.ndarray:
    """The opposite of `gaps`, whatever follows the last nonzero entry.

    gaps: (N,) integers. size: number of entries of the array. Returns: (N,) int64 places of the nonzero entries,
    ascending. Raises: ValueError for places outside the array.
    """
    wide = gaps.astype(np.int64)
    places = np.cumsum(wide + 1) - 1
    # Each gap too: the sum of huge ones overflows, to a place that may lie inside.
    if wide.size and (wide.min() < 0 or wide.max() >= size or places[-1] >= size):
        raise ValueError(f"the indices are damaged: they lie outside an array of {size} entries")
    return places


def with_escapes(gaps: np.ndarray, width: int) -> np.ndarray:
    """Write the gaps as symbols of `width` bits: gap g as g div M escapes, then g mod M, with M = 2^width - 1.

    The symbol M is an escape: M entries without a nonzero one, and no value here. Source: Han et al. 2016, figure 2,
    which differs: it bridges a long gap with a filler, an entry that is stored although its value is zero. An escape
    needs no value, and because a gap of M is an escape and a 0, never a bare M, every gap has one spelling.

    gaps: (N,) integers >= 0. Returns: (N + escapes,) uint8. Raises: ValueError for a width outside 1..8.
    """
    escape = _escape(width)
    symbols_each = gaps.astype(np.int64) // escape + 1
    symbols = np.full(int(symbols_each.sum()), escape, np.uint8)
    symbols[np.cumsum(symbols_each) - 1] = gaps % escape
    return symbols


def without_escapes(symbols: np.ndarray, width: int) -> np.ndarray:
    """The opposite of `with_escapes`.

    symbols: (K,) integers. Returns: (symbols that are no escapes,) int64 gaps.
    Raises: ValueError for symbols that `with_escapes` writes for no gaps, and a width outside 1..8.
    """
    escape = _escape(width)
    if symbols.size and not 0 <= symbols.min() <= symbols.max() <= escape:
        raise ValueError(f"the indices are damaged: they are not of {width} bits")
    if symbols.size and symbols[-1] == escape:
        raise ValueError("the indices are damaged: an escape is the last one")
    ends = np.flatnonzero(symbols != escape)
    return (np.diff(ends, prepend=-1) - 1) * escape + symbols[ends]


def _escape(width: int) -> int:
    if width not in WIDTHS:
        raise ValueError(f"an index has {WIDTHS[0]} to {WIDTHS[-1]} bits, not {width}")
    return (1 << width) - 1
