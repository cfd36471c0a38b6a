"""Products of signs by counting bits: exactly those of the matrices of +1 and -1."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rl_gen_lab.compression.binary_kernel import pack_signs, products


@given(st.integers(1, 5), st.integers(1, 6), st.integers(1, 200), st.integers(0, 10**6))
def test_products_are_those_of_the_signs(batch: int, rows: int, length: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    left, right = rng.standard_normal((batch, length)), rng.integers(-1, 2, (rows, length))  # with zeros
    signs = [np.where(matrix >= 0, 1, -1) for matrix in (left, right)]
    found = products(pack_signs(left), pack_signs(right), length)
    assert found.dtype == np.int32 and (found == signs[0] @ signs[1].T).all()


@pytest.mark.parametrize(("length", "words"), [(1, 1), (64, 1), (65, 2), (3_136, 49)])
def test_64_signs_are_a_word(length: int, words: int) -> None:
    packed = pack_signs(np.ones((3, length)))
    assert packed.shape == (words, 3) and packed.dtype == np.uint64
    assert np.bitwise_count(packed).sum() == 3 * length  # padding counts as nothing
