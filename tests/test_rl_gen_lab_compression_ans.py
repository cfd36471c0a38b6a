"""The entropy coder: exact round trips of anything, lengths as the probabilities say, samples by popping."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rl_gen_lab.compression.ans import LOWEST, MAX_PRECISION, TAIL_BYTES, WORD, Stack

Interval = tuple[int, int, int]


def finder(start: int, width: int) -> object:
    """Only the expected interval is known: any other place is an error of the coder."""

    def find(place: int) -> Interval:
        assert start <= place < start + width
        return 7, start, width

    return find


@st.composite
def intervals(draw: st.DrawFn) -> Interval:
    precision = draw(st.integers(1, MAX_PRECISION))
    start = draw(st.integers(0, (1 << precision) - 1))
    return start, draw(st.integers(1, (1 << precision) - start)), precision


@given(st.lists(intervals(), max_size=60), st.booleans())
def test_whatever_is_pushed_is_popped_in_reverse(symbols: list[Interval], through_bytes: bool) -> None:
    stack = Stack()
    for symbol in symbols:
        stack.push(*symbol)
        assert LOWEST <= stack.state < LOWEST << WORD
    if through_bytes:
        stack = Stack(stack.to_bytes())
    for start, width, precision in reversed(symbols):
        assert stack.pop(precision, finder(start, width)) == 7  # type: ignore[arg-type]
    assert stack.state == LOWEST and not stack.words


def test_the_length_is_that_of_the_probabilities() -> None:
    rng, stack, ideal = random.Random(0), Stack(), 0.0
    for _ in range(20_000):
        width = rng.choice((1, 40, 2_000, 60_000))
        stack.push(rng.randrange(65_536 - width), width, 16)
        ideal += 16 - math.log2(width)
    assert len(stack.to_bytes()) * 8 == pytest.approx(ideal, rel=2e-5, abs=8 * TAIL_BYTES)
    assert stack.bits == pytest.approx(ideal, rel=1e-4)


def test_popping_draws_samples_and_pushing_them_returns_the_bits() -> None:
    """Bits back: of four symbols with shares 1/2, 1/4, 1/8, 1/8, out of random words."""
    rng, stack = random.Random(1), Stack()
    for _ in range(4_000):
        stack.push_uniform(rng.getrandbits(WORD), WORD)
    before, starts = stack.to_bytes(), (0, 128, 192, 224, 256)

    def find(place: int) -> Interval:
        symbol = max(i for i in range(4) if starts[i] <= place)
        return symbol, starts[symbol], starts[symbol + 1] - starts[symbol]

    drawn = [stack.pop(8, find) for _ in range(8_000)]
    assert [drawn.count(i) / 8_000 for i in range(4)] == pytest.approx([0.5, 0.25, 0.125, 0.125], abs=0.02)
    for symbol in reversed(drawn):
        stack.push(starts[symbol], starts[symbol + 1] - starts[symbol], 8)
    assert stack.to_bytes() == before


def test_messages_that_no_stack_wrote_are_refused() -> None:
    stack = Stack()
    for number in range(50):
        stack.push_uniform(number, 20)
    data = stack.to_bytes()
    for size in range(1, len(data)):
        if size < TAIL_BYTES or (size - TAIL_BYTES) % 4:
            with pytest.raises(ValueError, match="cut short"):
                Stack(data[:size])
    with pytest.raises(ValueError, match="damaged"):
        Stack(bytes(TAIL_BYTES))
    empty = Stack()
    with pytest.raises(ValueError, match="ended too soon"):
        empty.pop_uniform(20)
