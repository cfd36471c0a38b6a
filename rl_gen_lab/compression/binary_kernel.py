"""Products of matrices of signs, by counting bits: 64 multiplications and additions in one instruction or two.

Source: Rastegari et al. 2016, "XNOR-Net: ImageNet classification using binary convolutional neural
networks", section 3.2.
"""

from __future__ import annotations

import numpy as np

WORD = 64


def pack_signs(matrix: np.ndarray) -> np.ndarray:
    """Pack the signs of a matrix (R, n), 0 counted as positive, into words: (ceil(n / 64), R) uint64.

    A column holds a row of the matrix, so that `products` adds up whole rows of memory.
    """
    rows, columns = matrix.shape
    padded = np.zeros((rows, -(-columns // WORD) * WORD), bool)
    padded[:, :columns] = matrix >= 0
    words: np.ndarray = np.packbits(padded, axis=1, bitorder="little").view("<u8")
    return np.ascontiguousarray(words.T)


def products(left: np.ndarray, right: np.ndarray, length: int) -> np.ndarray:
    """Return the inner products (B, R) int32 of rows of +1 and -1, exact.

    left: (w, B) uint64 and right: (w, R) uint64, from `pack_signs`; length: n, the numbers in a row.
    """
    different = np.empty((left.shape[1], right.shape[1]), np.int32)
    for row, words in enumerate(left.T):  # one row at a time stays in the processor's cache
        different[row] = np.bitwise_count(words[:, None] ^ right).sum(0, dtype=np.int32)
    return length - 2 * different
