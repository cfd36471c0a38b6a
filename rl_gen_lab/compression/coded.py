"""Tensors as few whole numbers: evenly spaced levels, a codebook; or plain floats, or one. Numpy only.

Values are one float32 multiplication or one table lookup away from the whole numbers, so that they are the same on
every machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Literal

import numpy as np

from rl_gen_lab.compression.integers import LARGEST

Kind = Literal["float32", "float16", "constant", "levels", "codebook"]
KINDS: tuple[Kind, ...] = ("float32", "float16", "constant", "levels", "codebook")
SMALLEST_NORMAL = np.uint32(0x00800000)  # bits of 2^-126, the smallest float32 of full precision
LARGEST_STEP = 2.0**96  # distance of levels: 2^31 of them are still finite
LARGEST_CODEBOOK = 256


@dataclass(frozen=True, eq=False)
class CodedTensor:
    """A tensor as it is stored.

    numbers: float32: the values (float32, float16), the only one (constant), the distance of two levels (levels: one,
    or one for each row), the values of the codebook. codes: int32 of the tensor's shape, multiples of the distance or
    places in the codebook; None for plain floats. predicted: codes are stored as differences from their left neighbor,
    for images. repeated: all slices along the first axis are equal, and one is stored.
    """

    kind: Kind
    shape: tuple[int, ...]
    numbers: np.ndarray
    codes: np.ndarray | None = None
    predicted: bool = False
    repeated: bool = False

    def values(self) -> np.ndarray:
        """Return the tensor, float32."""
        if self.kind == "constant":
            return np.full(self.shape, self.numbers[0], np.float32)
        if self.codes is None:
            return self.numbers.astype(np.float32).reshape(self.shape)
        if self.kind == "codebook":
            return self.numbers[self.codes].astype(np.float32).reshape(self.shape)
        steps = self.numbers.astype(np.float32)
        if len(steps) > 1:
            steps = steps.reshape(-1, *[1] * (len(self.shape) - 1))
        return (self.codes.astype(np.float32) * steps).reshape(self.shape)

    def stored_codes(self) -> np.ndarray:
        """Return what is written of the codes: a table (rows, columns), of one slice and as differences where so."""
        assert self.codes is not None
        table = (self.codes[0] if self.repeated else self.codes).reshape(self.stored_shape)
        return np.diff(table, axis=1, prepend=0) if self.predicted else table

    @property
    def stored_shape(self) -> tuple[int, int]:
        """Rows and columns of what is written: the first axis, and all others; a vector is one row."""
        shape = self.shape[1:] if self.repeated else self.shape
        return (1, prod(shape)) if len(shape) < 2 else (shape[0], prod(shape[1:]))

    def order0_bytes(self) -> float:
        """Order-0 entropy of the written codes times their number; adaptive coders may need less."""
        if self.codes is None:
            return float(self.numbers.nbytes)
        counts = np.unique(self.stored_codes(), return_counts=True)[1]
        return float(-(counts * np.log2(counts / counts.sum())).sum() / 8) if len(counts) else 0.0


def stored_step(step: float | np.ndarray) -> np.ndarray:
    """Round positive distances of levels to what a file keeps of them, the upper 16 bits of a float32, never to 0."""
    bits = np.atleast_1d(np.asarray(step, np.float32)).view(np.uint32)
    return np.maximum((bits + 0x8000) & np.uint32(0xFFFF0000), SMALLEST_NORMAL).view(np.float32)


def plain(array: np.ndarray, half: bool = False) -> CodedTensor:
    """A tensor as floats, of 32 or 16 bits."""
    values = np.asarray(array, np.float32)
    kind: Kind = "float16" if half else "float32"
    return CodedTensor(kind, values.shape, (values.astype(np.float16) if half else values).astype(np.float32).ravel())


def levels(array: np.ndarray, step: float | np.ndarray) -> CodedTensor:
    """A tensor rounded to multiples of a positive distance; step: one, or (rows,).

    Raises: ValueError for a number that is not finite or more than 2^31 distances from 0.
    """
    kept = stored_step(step)
    wide = kept.reshape(-1, *[1] * (array.ndim - 1)) if len(kept) > 1 else kept[0]
    codes = np.asarray(np.rint(array / wide.astype(np.float64)))
    if not (np.abs(codes) <= LARGEST).all():
        raise ValueError("a number is too large for such a small distance of levels, or not finite")
    return CodedTensor("levels", array.shape, kept, codes.astype(np.int32))


def eight_bits(array: np.ndarray) -> CodedTensor:
    """A tensor rounded to 255 levels up to its largest value."""
    largest = float(np.abs(array).max(initial=0.0))
    return levels(array, largest / 127 if largest > 0 else 1.0)


def codebook(codes: np.ndarray, values: np.ndarray) -> CodedTensor:
    """A tensor of at most 256 different values; a value of 0 belongs first, since a code of 0 is the cheapest."""
    kept = np.asarray(values, np.float32).astype(np.float16).astype(np.float32)
    return CodedTensor("codebook", codes.shape, kept, codes.astype(np.int32))


def constant(value: float, shape: tuple[int, ...]) -> CodedTensor:
    """A tensor of one value."""
    return CodedTensor("constant", shape, np.array([value], np.float32))


def image(array: np.ndarray) -> CodedTensor:
    """A mean frame (C, H, W) in whole grey levels; equal channels are stored once."""
    same = len(array) > 1 and bool((array == array[:1]).all())
    return CodedTensor("levels", array.shape, stored_step(1.0), np.rint(array).astype(np.int32), True, same)


def check(tensor: CodedTensor) -> None:
    """Refuse a tensor whose floats, codes or flags do not fit its kind and shape. Raises: ValueError."""
    shape, count, codes = tensor.shape, len(tensor.numbers), tensor.codes
    fits = {
        "constant": count == 1,
        "levels": count == 1 or (len(shape) > 0 and count == shape[0]),
        "codebook": 1 <= count <= LARGEST_CODEBOOK,
    }.get(tensor.kind, count == prod(shape))
    if tensor.kind not in ("levels", "codebook"):
        fits = fits and codes is None and not tensor.predicted and not tensor.repeated
    else:
        fits = fits and codes is not None and codes.shape == shape
    if fits and tensor.repeated:
        assert codes is not None
        fits = len(shape) > 1 and shape[0] > 1 and bool((codes == codes[:1]).all())
    if not fits:
        raise ValueError("flags of a tensor do not fit it")
    if not np.isfinite(tensor.numbers).all():
        raise ValueError("a tensor holds numbers that are not finite")
    if tensor.kind == "levels" and np.abs(tensor.numbers).max() > LARGEST_STEP:
        raise ValueError("levels of a tensor are too far apart")


def check_places(tensor: CodedTensor) -> None:
    """Refuse codes without an entry in their codebook. Raises: ValueError."""
    assert tensor.codes is not None
    if tensor.codes.min(initial=0) < 0 or tensor.codes.max(initial=0) >= len(tensor.numbers):
        raise ValueError("a number lies outside its codebook")
