"""How many bytes a packed network takes, and how many other coders would need for the same whole numbers."""

from __future__ import annotations

import lzma
import zlib

import numpy as np
from torch import nn

from rl_gen_lab.compression import huffman, indices
from rl_gen_lab.compression.coded import CodedTensor
from rl_gen_lab.compression.layers import plain_state

Row = dict[str, float | int | str]
FLOATS = ("float32", "float16")
COLUMNS = ("order0_bytes", "huffman_bytes", "deep_compression_bytes", "xz_bytes")


def sizes(tensors: dict[str, CodedTensor]) -> Row:
    """Return bytes of the whole numbers of a network: the order-0 bound, Huffman codes, relative indices, xz.

    All are "" where a weight matrix or kernel is stored in floats, for these coders say nothing of it.
    order0: the sum of each tensor's entropy, no table counted. huffman: canonical codes of the values, the zeros among
    them. deep_compression: Huffman codes of the nonzero values and of their relative indices, as in Han et al. 2016.
    xz: `xz -9e` of the same numbers, in one byte each where they fit.
    """
    if any(tensor.kind in FLOATS and len(tensor.shape) > 1 for tensor in tensors.values()):
        return dict.fromkeys(COLUMNS, "")
    tables = [tensor.stored_codes() for tensor in tensors.values() if tensor.codes is not None]
    return {
        "order0_bytes": round(sum(t.order0_bytes() for t in tensors.values() if t.codes is not None)),
        "huffman_bytes": sum(len(_huffman(table.ravel())) for table in tables),
        "deep_compression_bytes": sum(_sparse_bytes(table.ravel()) for table in tables),
        "xz_bytes": len(_xz(tables)),
    }


def numbers(network: nn.Module) -> dict[str, int]:
    """Return how many parameters a network has, without statistics of its inputs, and how many of them are not 0."""
    parameters = plain_state(network, buffers=False).values()
    return {"numbers": sum(p.numel() for p in parameters), "nonzero": sum(int(p.count_nonzero()) for p in parameters)}


def _huffman(codes: np.ndarray) -> bytes:
    if codes.size == 0:
        return b""
    values, places = np.unique(codes, return_inverse=True)
    table = zlib.compress(np.diff(values, prepend=0).astype("<i4").tobytes(), 9)  # which value each symbol is
    return huffman.encode(places, len(values)) + table


def _sparse_bytes(codes: np.ndarray) -> int:
    if not codes.any():
        return 0
    gaps = indices.gaps(codes != 0)
    # with the table of their codes, which for few gaps is most of it
    places = min(len(huffman.encode(indices.with_escapes(gaps, width), 2**width)) for width in indices.WIDTHS)
    return len(_huffman(codes[codes != 0])) + places


def _xz(tables: list[np.ndarray]) -> bytes:
    if not tables:
        return b""
    small = all(np.abs(table).max(initial=0) < 128 for table in tables)
    data = b"".join(table.astype(np.int8 if small else np.int32).tobytes() for table in tables)
    return lzma.compress(data, preset=9 | lzma.PRESET_EXTREME)
