"""Relative indices: masks, gaps and symbols say the same, each in one way."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rl_gen_lab.compression.indices import WIDTHS, gaps, positions, with_escapes, without_escapes

widths = st.sampled_from(WIDTHS)


def array(numbers: list[int]) -> np.ndarray:
    return np.array(numbers, np.int64)


def spelled(numbers: list[int], width: int) -> list[int]:
    """The symbols, one gap after the other."""
    escape, symbols = 2**width - 1, []
    for number in numbers:
        while number >= escape:
            symbols.append(escape)
            number -= escape
        symbols.append(number)
    return symbols


def walked(symbols: list[int], width: int) -> list[int]:
    """Places of the values: a reader that walks the array."""
    place, places = 0, []
    for symbol in symbols:
        place += symbol
        if symbol < 2**width - 1:
            places.append(place)
            place += 1
    return places


@given(st.lists(st.booleans(), max_size=200))
def test_a_mask_comes_back_from_its_gaps(mask: list[bool]) -> None:
    found = gaps(np.array(mask, bool))
    assert found.size == sum(mask) and found.dtype == np.int64
    places = positions(found, len(mask))
    assert places.tolist() == [place for place, value in enumerate(mask) if value]
    assert int(found.sum()) + sum(mask) == (int(places[-1]) + 1 if sum(mask) else 0)


def test_gaps_count_the_zeros_before_each_entry() -> None:
    assert gaps(np.array([0, 0, 3.5, -1, 0, 2, 0])).tolist() == [2, 0, 1]
    assert gaps(np.array([[True, False], [False, True]])).tolist() == [0, 2]
    assert gaps(np.zeros(4)).size == 0 and gaps(np.array([], bool)).size == 0


@pytest.mark.parametrize("width", WIDTHS)
def test_every_gap_comes_back(width: int) -> None:
    every = np.arange(5 * (2**width - 1) + 1)
    for numbers in [*every[:, None], every, every[::-1]]:
        symbols = with_escapes(numbers, width)
        assert symbols.tolist() == spelled(numbers.tolist(), width)
        np.testing.assert_array_equal(without_escapes(symbols, width), numbers)


@given(st.lists(st.integers(0, 1300), max_size=40), widths)
def test_a_reader_that_walks_the_array_finds_the_places(numbers: list[int], width: int) -> None:
    symbols = with_escapes(array(numbers), width)
    size = sum(numbers) + len(numbers)
    assert walked(symbols.tolist(), width) == positions(array(numbers), size).tolist()
    np.testing.assert_array_equal(without_escapes(symbols, width), array(numbers))


@given(st.data(), widths)
def test_whatever_can_be_read_is_what_would_have_been_written(data: st.DataObject, width: int) -> None:
    symbols = data.draw(st.lists(st.integers(0, 2**width - 1), max_size=30))
    if symbols and symbols[-1] == 2**width - 1:
        with pytest.raises(ValueError, match="an escape is the last"):
            without_escapes(array(symbols), width)
    else:
        assert with_escapes(without_escapes(array(symbols), width), width).tolist() == symbols


def test_a_gap_of_the_largest_symbol_is_an_escape_and_a_zero() -> None:
    assert with_escapes(array([6, 7, 8, 14]), 3).tolist() == [6, 7, 0, 7, 1, 7, 7, 0]
    assert with_escapes(array([2, 0]), 1).tolist() == [1, 1, 0, 0]


def test_nothing_has_no_symbols() -> None:
    for width in WIDTHS:
        assert with_escapes(array([]), width).size == without_escapes(array([]), width).size == 0
    assert positions(array([]), 0).size == 0


@pytest.mark.parametrize(
    ("numbers", "size"),
    [([3], 3), ([0, 0], 1), ([1, 1], 3), ([0], 0), ([-1, 2], 9), ([2**62] * 4, 9), ([2**63 - 1], 9)],
)
def test_places_outside_the_array_are_refused(numbers: list[int], size: int) -> None:
    with pytest.raises(ValueError, match=f"outside an array of {size} entries"):
        positions(array(numbers), size)


def test_symbols_and_widths_that_do_not_exist_are_refused() -> None:
    for symbols in ([8, 0], [-1, 0]):
        with pytest.raises(ValueError, match="not of 3 bits"):
            without_escapes(array(symbols), 3)
    for width in (0, 9):
        with pytest.raises(ValueError, match="1 to 8 bits"):
            with_escapes(array([1]), width)
        with pytest.raises(ValueError, match="1 to 8 bits"):
            without_escapes(array([1]), width)
