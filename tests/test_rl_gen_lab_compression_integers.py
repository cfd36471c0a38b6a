"""Whole numbers of weights as bits: exact round trips, and lengths against entropy and xz."""

from __future__ import annotations

import lzma

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from rl_gen_lab.compression import integers
from rl_gen_lab.compression.integers import LARGEST, ROW, UNARY, ZERO
from rl_gen_lab.compression.range_coder import Decoder, Encoder, contexts

numbers = st.just(0) | st.integers(-3, 3) | st.integers(-40, 40) | st.integers(-LARGEST, LARGEST)
tables = arrays(np.int32, array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=7), elements=numbers)


def encoded(*tables: np.ndarray) -> bytes:
    encoder = Encoder()
    for table in tables:
        integers.encode(encoder, table)
    return encoder.finish()


def order0_bytes(table: np.ndarray) -> float:
    counts = np.unique(table, return_counts=True)[1]
    return float(-(counts * np.log2(counts / table.size)).sum() / 8)


def xz_bytes(table: np.ndarray) -> int:
    return len(lzma.compress(table.astype(np.int8).tobytes(), preset=9 | lzma.PRESET_EXTREME))


def laplace_weights(shape: tuple[int, int], kept: float, bits: int, seed: int) -> np.ndarray:
    """Weights of a Laplace density, the smallest set to 0, the others on 2^bits - 1 levels but 0."""
    highest = 2 ** (bits - 1) - 1
    weights = np.random.default_rng(seed).laplace(size=shape)
    sizes = np.abs(weights)
    large = sizes > np.quantile(sizes, 1 - kept)
    step = 2 * sizes[large].mean() / np.sqrt(highest)
    return np.where(large, np.sign(weights) * np.clip(np.rint(sizes / step), 1, highest), 0).astype(np.int32)


@given(st.lists(tables, max_size=3))
@example([np.zeros((0, 5), np.int32), np.zeros((5, 0), np.int32), np.zeros((0, 0), np.int32)])
@example([np.zeros((700, 2), np.int32), np.ones((1, 1), np.int32)])
@example([np.array([[LARGEST, -LARGEST], [LARGEST - 1, 0]], np.int32)])
@example([np.arange(-UNARY - 3, UNARY + 4, dtype=np.int32)[None]])
def test_tables_come_back_one_behind_the_other(written: list[np.ndarray]) -> None:
    decoder = Decoder(encoded(*written))
    for table in written:
        read = integers.decode(decoder, *table.shape)
        assert read.dtype == np.int32
        np.testing.assert_array_equal(read, table, strict=True)
    assert decoder.whole


@given(st.binary(max_size=24), st.integers(0, 5), st.integers(0, 5))
def test_what_is_read_from_any_bytes_is_written_as_these_bytes(data: bytes, rows: int, columns: int) -> None:
    decoder = Decoder(data, most_bits=10_000)
    try:
        read = integers.decode(decoder, rows, columns)
    except ValueError:
        return
    assert decoder.whole == (encoded(read) == data)


def test_every_kind_of_integer_and_any_memory_layout_are_written_alike() -> None:
    table = np.random.default_rng(0).integers(-20, 20, (6, 9))
    data = encoded(table)
    assert data == encoded(table.astype(np.int8)) == encoded(np.asfortranarray(table.astype(np.int32)))
    assert data == encoded(np.repeat(table, 2, axis=1)[:, ::2])


@pytest.mark.parametrize("number", [LARGEST + 1, -LARGEST - 1, 2**33, -(2**40)])
def test_numbers_beyond_31_bits_are_refused(number: int) -> None:
    with pytest.raises(ValueError, match="too large"):
        encoded(np.array([[3, number]], np.int64))


@pytest.mark.parametrize("number", [LARGEST + 1, LARGEST + UNARY, 2**32 + UNARY - 1])
def test_a_message_with_a_number_beyond_31_bits_is_refused(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(integers, "LARGEST", 2**40)
        data = encoded(np.array([[number]], np.int64))
    with pytest.raises(ValueError, match="too large"):
        integers.decode(Decoder(data), 1, 1)


def test_a_message_that_codes_a_row_of_zeros_number_by_number_is_refused() -> None:
    encoder, known = Encoder(), contexts(ZERO + 1)
    encoder.bit(known[ROW], 1)
    for _ in range(4):
        encoder.bit(known[ZERO], 0)
    encoder.bit(known[ROW], 1)  # else the message is empty
    with pytest.raises(ValueError, match="row of zeros"):
        integers.decode(Decoder(encoder.finish()), 2, 4)


def test_rows_of_zeros_cost_next_to_nothing() -> None:
    table = np.zeros((1_000, 784), np.int32)
    assert encoded(table) == b""
    table[500, 3] = -2
    assert len(encoded(table)) < 20


@pytest.mark.parametrize(("shape", "kept", "bits"), [((128, 392), 0.1, 4), ((32, 784), 0.05, 3), ((64, 400), 0.3, 3)])
def test_sparse_weights_take_as_much_as_their_entropy_and_less_than_xz(
    shape: tuple[int, int], kept: float, bits: int
) -> None:
    table = laplace_weights(shape, kept, bits, seed=1)
    assert np.count_nonzero(table) / table.size == pytest.approx(kept, abs=0.01)
    length = len(encoded(table))
    assert length <= 1.03 * order0_bytes(table)
    assert length <= 0.9 * xz_bytes(table)


def test_dense_weights_take_as_much_as_their_entropy_and_less_than_xz() -> None:
    weights = np.random.default_rng(2).normal(size=(64, 200))
    table = np.clip(np.rint(weights / 0.6), -7, 7).astype(np.int32)
    length = len(encoded(table))
    assert length <= 1.03 * order0_bytes(table)
    assert length < xz_bytes(table)


def test_zeros_in_company_take_less_than_their_entropy() -> None:
    random = np.random.default_rng(3)
    table = laplace_weights((64, 600), 0.8, 3, seed=3)
    table[random.random(64) < 0.4] = 0
    table[:, np.repeat(random.random(60) < 0.6, 10)] = 0  # inputs that never matter, side by side
    assert len(encoded(table)) < 0.85 * order0_bytes(table)


def test_the_bytes_of_a_table_stay_as_they_are() -> None:
    table = np.zeros((6, 5), np.int32)
    table[1] = [1, -1, 0, 2, -3]
    table[2] = [0, 14, -15, 16, 300]
    table[4, 4], table[5, 0] = LARGEST, -LARGEST
    assert encoded(table).hex() == "7323f283a6172f58bea423eec623c0f2227fffcf8bfff63797f920"
