"""Huffman's code: the fewest bits under a limit, exact round trips, and one message only for each list of symbols."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import math
import random
import time
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rl_gen_lab.compression.huffman import (
    LARGEST_ALPHABET,
    LONGEST,
    canonical_codes,
    code_lengths,
    decode,
    encode,
    huffman_bits,
    order0_bits,
)

symbol_lists = st.lists(st.integers(0, 40) | st.integers(0, LARGEST_ALPHABET - 1), max_size=80)
FIBONACCI = [1, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 377, 610, 987, 1597, 2584, 4181, 6765]


def array(symbols: list[int]) -> np.ndarray:
    return np.array(symbols, np.int64)


def heap_bits(counts: list[int]) -> int:
    """Huffman 1952: the cost is the sum of the weights of all merged nodes."""
    heap, bits = [count for count in counts if count], 0
    heapq.heapify(heap)
    while len(heap) > 1:
        merged = heapq.heappop(heap) + heapq.heappop(heap)
        bits += merged
        heapq.heappush(heap, merged)
    return bits


def fewest_bits(counts: list[int], limit: int) -> int:
    """Of all lengths up to the limit that satisfy Kraft's inequality."""
    return min(
        sum(count * length for count, length in zip(counts, lengths, strict=True))
        for lengths in itertools.product(range(1, limit + 1), repeat=len(counts))
        if sum(1 << (limit - length) for length in lengths) <= 1 << limit
    )


def kraft_sum(lengths: np.ndarray) -> Fraction:
    return sum((Fraction(1, 1 << int(length)) for length in lengths if length), Fraction(0))


def message(size: int, lengths: list[int], codes: str) -> bytes:
    """A message by hand, from its format: codes are written as a string of 0 and 1."""
    body = "".join(f"{length:04b}" for length in lengths) + codes
    padding = -(16 + len(body)) % 8
    bits = f"{size:013b}{padding:03b}{body}" + "0" * padding
    return bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits), 8))


@given(st.lists(st.integers(0, 50), min_size=2, max_size=30).filter(lambda counts: sum(map(bool, counts)) > 1))
def test_without_a_binding_limit_the_bits_are_those_of_a_heap(counts: list[int]) -> None:
    assert sum(counts) < FIBONACCI[16]  # a code of 16 bits needs more symbols than this
    lengths = code_lengths(array(counts))
    assert int((lengths * array(counts)).sum()) == heap_bits(counts)
    assert kraft_sum(lengths) == 1
    assert [bool(length) for length in lengths] == [bool(count) for count in counts]


@given(
    st.lists(st.integers(1, 9) | st.sampled_from([20, 60, 200, 900]), min_size=2, max_size=6), st.just(3) | st.just(4)
)
@settings(max_examples=50)
@example([1, 2, 4, 8, 16, 32], 3)
@example([32, 1, 4, 2, 8, 16], 4)
def test_with_a_limit_no_lengths_that_satisfy_kraft_take_fewer_bits(counts: list[int], limit: int) -> None:
    lengths = code_lengths(array(counts), limit)
    assert int((lengths * array(counts)).sum()) == fewest_bits(counts, limit)
    assert lengths.max() <= limit and kraft_sum(lengths) == 1


def test_the_limits_bind_in_these_examples() -> None:
    counts = [1, 2, 4, 8, 16, 32]
    assert fewest_bits(counts, 3) > fewest_bits(counts, 4) > fewest_bits(counts, 5) == heap_bits(counts)
    assert code_lengths(array(counts)).tolist() == [5, 5, 4, 3, 2, 1]


def test_lengths_that_would_exceed_15_bits_do_not() -> None:
    counts = array(FIBONACCI)
    lengths = code_lengths(counts)
    assert lengths.max() == LONGEST and kraft_sum(lengths) == 1
    assert heap_bits(FIBONACCI) < int((lengths * counts).sum()) < 1.001 * heap_bits(FIBONACCI)
    symbols = np.repeat(np.arange(len(FIBONACCI)), FIBONACCI)
    np.testing.assert_array_equal(decode(encode(symbols, 20), symbols.size), symbols)


def test_equal_counts_get_codes_by_symbol() -> None:
    assert code_lengths(array([5, 5, 5])).tolist() == [2, 2, 1]
    assert code_lengths(array([0, 0, 9, 0])).tolist() == [0, 0, 1, 0]
    assert code_lengths(array([4, 0])).dtype == np.uint8
    assert code_lengths(array([0, 0])).tolist() == [0, 0] and code_lengths(array([])).size == 0


def test_codes_count_upward_through_lengths_and_symbols() -> None:
    """The example of RFC 1951, section 3.2.2."""
    lengths = array([3, 3, 3, 3, 3, 2, 4, 4])
    assert canonical_codes(lengths).tolist() == [0b010, 0b011, 0b100, 0b101, 0b110, 0b00, 0b1110, 0b1111]


@given(st.lists(st.integers(0, 1000), max_size=60))
def test_no_code_begins_another(counts: list[int]) -> None:
    lengths = code_lengths(array(counts))
    codes = canonical_codes(lengths)
    written = sorted(f"{code:0{length}b}" for code, length in zip(codes, lengths, strict=True) if length)
    assert all(not after.startswith(code) for code, after in itertools.pairwise(written))


@pytest.mark.parametrize("lengths", [[1, 2], [1, 1, 1], [2], [1, 2, 2, 15], [0, 0, 3], [16] * 2])
def test_lengths_of_no_complete_code_are_refused(lengths: list[int]) -> None:
    with pytest.raises(ValueError, match=r"damaged|longer"):
        canonical_codes(array(lengths))
    if max(lengths) < 16:
        with pytest.raises(ValueError, match="no complete prefix code"):
            decode(message(len(lengths), lengths, "00"), 2)


@given(symbol_lists)
def test_symbols_come_back(symbols: list[int]) -> None:
    alphabet = max(symbols, default=-1) + 1
    data = encode(array(symbols), alphabet)
    decoded = decode(data, len(symbols))
    assert decoded.dtype == np.int64 and decoded.tolist() == symbols
    body = huffman_bits(array(symbols))
    assert len(data) == math.ceil((16 + 4 * alphabet + body) / 8)
    assert encode(array(symbols), LARGEST_ALPHABET) == data


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.uint64])
def test_any_integers_are_symbols(kind: type) -> None:
    symbols = np.array([3, 0, 200 % 128, 3, 3, 100], kind)
    assert decode(encode(symbols, 128), 6).tolist() == symbols.tolist()


def test_a_message_is_as_its_format_says() -> None:
    symbols = array([2, 0, 2, 1, 2, 2, 0])  # 4 of 2, 2 of 0, 1 of 1
    assert encode(symbols, 3) == message(3, [2, 2, 1], "0100110010")
    assert encode(array([1, 1, 1]), 2) == message(2, [0, 1], "000")
    assert encode(array([]), 9) == message(0, [], "") == b"\0\0"


@given(symbol_lists.filter(lambda symbols: len(set(symbols)) > 1))
def test_huffman_lies_within_a_bit_a_symbol_of_the_order_0_bound(symbols: list[int]) -> None:
    counts = Counter(symbols)
    bound = sum(-count * math.log2(count / len(symbols)) for count in counts.values())
    assert order0_bits(array(symbols)) == pytest.approx(bound)
    assert bound - 1e-9 <= huffman_bits(array(symbols)) < bound + len(symbols)
    assert huffman_bits(array(symbols)) == heap_bits(list(counts.values()))


def test_one_symbol_has_an_entropy_of_0_and_a_code_of_1_bit() -> None:
    assert order0_bits(array([7] * 9)) == 0 and huffman_bits(array([7] * 9)) == 9
    assert order0_bits(array([])) == 0 and huffman_bits(array([])) == 0
    assert order0_bits(array([10**15, 4])) == 2  # no memory by the size of a symbol


def test_the_bits_are_those_of_an_independent_library() -> None:
    dahuffman = pytest.importorskip("dahuffman")
    rng = np.random.default_rng(0)
    for size in (2, 3, 10, 100, 300):
        counts = rng.integers(2, 400, size)
        table = dahuffman.HuffmanCodec.from_frequencies(dict(enumerate(counts.tolist()))).get_code_table()
        with_end = np.append(counts, 1)  # the library adds a symbol for the end, which occurs once
        expected = sum(int(with_end[-1 if key not in range(size) else key]) * bits for key, (bits, _) in table.items())
        assert int((with_end * code_lengths(with_end)).sum()) == expected


@pytest.mark.parametrize(
    "symbols", [[2, 0, 2, 1, 2, 2, 0], [0, 0, 0], [5], [1, 4, 1, 5, 9, 2, 6, 5, 3, 5], [0, 1] * 8, list(range(20))]
)
def test_damage_is_refused_or_gives_other_symbols(symbols: list[int]) -> None:
    data = encode(array(symbols), 20)
    damaged = [data[:size] for size in range(len(data))]
    damaged += [data + b"\0", data + b"\1", data + bytes(100)]
    for bit in range(8 * len(data)):
        changed = bytearray(data)
        changed[bit // 8] ^= 128 >> bit % 8
        damaged.append(bytes(changed))
    begin, refused = time.process_time(), 0
    for number, tried in enumerate(damaged):
        try:
            assert decode(tried, len(symbols)).tolist() != symbols
        except ValueError:
            refused += 1
        else:
            assert number >= len(data) + 3, "a cut or longer message was read"
    assert refused > 0 and time.process_time() - begin < 2


def test_each_list_of_symbols_has_one_message() -> None:
    """Every table of up to 3 lengths of at most 2 bits, with every string of at most 5 bits after it."""
    tables = [list(lengths) for size in range(4) for lengths in itertools.product(range(3), repeat=size)]
    strings = ["".join(bits) for size in range(6) for bits in itertools.product("01", repeat=size)]
    found = []
    for lengths, codes, count in itertools.product(tables, strings, range(5)):
        with contextlib.suppress(ValueError):
            found.append(tuple(decode(message(len(lengths), lengths, codes), count).tolist()))
    lists = [symbols for count in range(5) for symbols in itertools.product(range(3), repeat=count)]
    assert sorted(found) == sorted(symbols for symbols in lists if huffman_bits(array(list(symbols))) <= 5)


@pytest.mark.parametrize(
    ("data", "count", "reason"),
    [
        (b"", 0, "cut short"),
        (b"\0", 0, "cut short"),
        (b"\0\0", 1, "cut short$"),
        (b"\0\0\0", 0, "after its end"),
        (message(2, [1, 1], "0110"), 5, "cut short$"),
        (message(2, [1, 1], "0110"), 3, "more codes than symbols"),
        (message(2, [1, 1], "0110"), 10**18, "cut short$"),
        (message(2, [1, 1], "0110")[:-1] + b"\x61", 4, "padding"),
        (message(3, [2, 2, 1], "0111"), 3, "cut short"),
        (message(3, [1, 2, 2], "0101"), 3, "not whole"),
        (message(2, [0, 1], "010"), 3, "cut short or damaged"),
        (message(3, [2, 2, 1], "0101110"), 4, "not that of its symbols"),
        (message(3, [1, 1, 0], "01"), 2, "not that of its symbols"),
        (message(2, [1, 1], "00"), 2, "not that of its symbols"),
        (message(2, [0, 0], ""), 0, "not that of its symbols"),
        (message(2, [0, 0], "0"), 1, "cut short or damaged"),
    ],
)
def test_messages_that_nothing_wrote_are_refused(data: bytes, count: int, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as caught:
        decode(data, count)
    assert "\n" not in str(caught.value)


@given(symbol_lists, st.integers(-5, 100))
def test_another_count_is_refused(symbols: list[int], count: int) -> None:
    data = encode(array(symbols), LARGEST_ALPHABET)
    if count != len(symbols):
        with pytest.raises(ValueError, match="Huffman message"):
            decode(data, count)


def test_what_cannot_be_coded_is_refused() -> None:
    for symbols, alphabet in (([-1], 3), ([3], 3), ([0], LARGEST_ALPHABET + 1), ([0], -1)):
        with pytest.raises(ValueError, match=r"whole numbers|alphabet"):
            encode(array(symbols), alphabet)
    for numbers in (np.array([np.nan]), np.zeros((2, 2), np.int64), np.array([2**63], np.uint64)):
        with pytest.raises(ValueError, match="whole numbers"):
            code_lengths(numbers)
    with pytest.raises(ValueError, match="too many"):
        code_lengths(np.ones(5, np.int64), 2)
    for limit in (0, 16):
        with pytest.raises(ValueError, match="1 to 15"):
            code_lengths(array([1, 2]), limit)


def test_twenty_thousand_symbols_are_read_within_50_ms() -> None:
    rng = random.Random(0)
    symbols = array([min(int(rng.expovariate(0.05)), 255) for _ in range(20_000)])
    data, seconds = encode(symbols, 256), []
    for _ in range(5):
        begin = time.process_time()
        decoded = decode(data, 20_000)
        seconds.append(time.process_time() - begin)
    np.testing.assert_array_equal(decoded, symbols)
    assert min(seconds) < 0.05
