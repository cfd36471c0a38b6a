"""The range coder: exact round trips, lengths near the entropy, and one message only for each list of bits."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rl_gen_lab.compression.range_coder import (
    LEAST,
    MOST,
    PRECISION,
    Decoder,
    Encoder,
    contexts,
    learn,
    shortest,
    zero_share,
)

CONTEXTS = 3
# a step of a message: under which context, or how many equally likely bits; and the value
adaptive = st.tuples(st.integers(0, CONTEXTS - 1), st.just(0), st.integers(0, 1))
direct = st.integers(0, 31).flatmap(lambda bits: st.tuples(st.just(-1), st.just(bits), st.integers(0, 2**bits - 1)))
Step = tuple[int, int, int]
steps = st.lists(adaptive | direct, max_size=120)


def encoded(message: list[Step]) -> bytes:
    encoder, known = Encoder(), contexts(CONTEXTS)
    for context, bits, value in message:
        if context < 0:
            encoder.direct(value, bits)
        else:
            encoder.bit(known[context], value)
    return encoder.finish()


def decoded(data: bytes, kinds: list[tuple[int, int]]) -> tuple[list[Step], Decoder]:
    decoder, known = Decoder(data), contexts(CONTEXTS)
    read = [(c, bits, decoder.direct(bits) if c < 0 else decoder.bit(known[c])) for c, bits in kinds]
    return read, decoder


def kinds_of(message: list[Step]) -> list[tuple[int, int]]:
    return [(context, bits) for context, bits, _ in message]


def skewed(count: int, share: float, seed: int) -> list[Step]:
    return [(0, 0, int(bit)) for bit in np.random.default_rng(seed).random(count) < share]


@given(steps)
@example([])
@example([(0, 0, 0)] * 5_000)  # the message is empty, however many bits it stands for
@example([(0, 0, 1)] * 5_000)
@example([(-1, 31, 2**31 - 1)] * 40)
def test_bits_come_back_and_the_message_is_whole(message: list[Step]) -> None:
    data = encoded(message)
    read, decoder = decoded(data, kinds_of(message))
    assert read == message
    assert decoder.whole
    assert not data.endswith(b"\0")
    assert decoder.bits == sum(bits if context < 0 else 1 for context, bits, _ in message)


@given(st.binary(max_size=12), steps)
@example(b"\xff" * 8, [(0, 0, 0)] * 50)
def test_whole_means_that_the_encoder_writes_the_same_bytes(data: bytes, structure: list[Step]) -> None:
    try:
        read, decoder = decoded(data, kinds_of(structure))
    except ValueError:
        return  # no encoder writes this
    assert decoder.whole == (encoded(read) == data)


def test_no_shorter_message_stands_for_the_same_bits() -> None:
    for seed in range(16):
        message = skewed(6 + seed % 12, 0.4, seed)
        data = encoded(message)
        assert 0 < len(data) <= 3
        shorter = [b"", *(bytes([n]) for n in range(256))] if len(data) > 1 else [b""]
        if len(data) == 3:
            shorter += [bytes([high, low]) for high in range(256) for low in range(1, 256, 7)]
        assert all(decoded(other, kinds_of(message))[0] != message for other in shorter)


@given(st.integers(0, 2**33 - 1), st.integers(1, 2**32 - 1))
def test_the_shortest_number_of_a_range_has_the_most_zero_bytes(low: int, width: int) -> None:
    number = shortest(low, width)
    assert low <= number < low + width
    zeros = next((zeros for zeros in range(8, 33, 8) if number % 2**zeros), 40) - 8
    if zeros < 32:  # no multiple of a larger power lies within
        assert (low + width - 1) // 2 ** (zeros + 8) == (low - 1) // 2 ** (zeros + 8)


@pytest.mark.parametrize("share", [0.5, 0.1, 0.01])
def test_the_length_is_near_the_entropy_of_a_skewed_source(share: float) -> None:
    count = 20_000
    message = skewed(count, share, 1)
    ones = sum(bit for _, _, bit in message) / count
    entropy = -(ones * math.log2(ones) + (1 - ones) * math.log2(1 - ones)) * count / 8
    assert 0.99 * entropy < len(encoded(message)) < 1.03 * entropy + 4


def test_the_length_is_the_sum_of_the_probabilities_that_the_contexts_gave() -> None:
    message = [(n % CONTEXTS, 0, bit) for n, (_, _, bit) in enumerate(skewed(9_000, 0.2, 2))]
    known, bits = contexts(CONTEXTS), 0.0
    for context, _, bit in message:
        share = zero_share(known[context]) / 2**PRECISION
        bits -= math.log2(1 - share if bit else share)
        learn(known[context], bit)
    assert bits / 8 <= len(encoded(message)) + 1
    assert len(encoded(message)) <= 1.001 * bits / 8 + 2


def test_probabilities_follow_the_mean_of_two_exponential_averages() -> None:
    (context,) = contexts(1)
    draws = skewed(3_000, 0.3, 3)
    fast = slow = 0.5
    for seen, (_, _, bit) in enumerate(draws, 2):
        fast += (1 - bit - fast) / min(seen, 32)
        slow += (1 - bit - slow) / min(seen, 256)
        learn(context, bit)
        assert abs(zero_share(context) / 2**PRECISION - (fast + slow) / 2) < 0.004


def test_probabilities_never_reach_0_or_1() -> None:
    for bit in (0, 1):
        (context,) = contexts(1)
        for _ in range(20_000):
            learn(context, bit)
            assert LEAST <= zero_share(context) <= MOST
        assert abs(zero_share(context) / 2**PRECISION - (1 - bit)) < 0.002
    message: list[Step] = [(0, 0, 0)] * 20_000 + [(0, 0, 1)]
    assert decoded(encoded(message), kinds_of(message))[0] == message


@pytest.mark.parametrize("first", [0x01, 0x80, 0xFF])
def test_a_carry_runs_through_hundreds_of_bytes(first: int) -> None:
    # bits whose interval holds first * 2^n: its lower end is just below, with bytes FF, and the end rounds up
    structure = [(n % CONTEXTS, 0) if n % 3 else (-1, 7) for n in range(900)]
    message, decoder = decoded(bytes([first]), structure)
    assert decoder.bytes_used > 250
    assert encoded(message) == bytes([first])
    # one more bit above or below the number
    for value in (0, 127):
        longer = [*message, (-1, 7, value)]
        assert decoded(encoded(longer), kinds_of(longer))[0] == longer


@given(st.lists(st.sampled_from([b"\x00", b"\xff", b"\x7f\xff", b"\x80\x00", b"\x01"]), max_size=60).map(b"".join))
@example(b"\x7f" + b"\xff" * 300)
@example(b"\x80" + b"\x00" * 300 + b"\x01")
def test_runs_of_ff_and_00_survive(data: bytes) -> None:
    """Read bits until the message is used up, and write them: its bytes come back."""
    decoder = Decoder(data)
    values: list[int] = []
    try:
        while decoder.bytes_used < len(data) + 5:
            values.append(decoder.direct(5))
    except ValueError:
        return  # some numbers lie in the gaps that halving odd ranges leaves
    encoder = Encoder()
    for value in values:
        encoder.direct(value, 5)
    assert encoder.finish() == data.rstrip(b"\0")


def test_a_longer_message_is_not_whole_and_a_shorter_one_stands_for_other_bits() -> None:
    message = skewed(600, 0.5, 4)
    data = encoded(message)
    assert len(data) > 60
    for more in (b"\0", b"\1", b"\xff", b"abcdefgh", bytes(100), bytes(8) + b"\1"):
        assert not decoded(data + more, kinds_of(message))[1].whole
    for length in range(len(data)):
        read, decoder = decoded(data[:length], kinds_of(message))
        assert read != message
        assert decoder.whole == (encoded(read) == data[:length])


def test_the_decoder_gives_up_after_as_many_bits_as_allowed() -> None:
    decoder, (context,) = Decoder(b"", most_bits=1_000), contexts(1)
    with pytest.raises(ValueError, match="more than 1,000 steps"):
        for _ in range(20_000):
            decoder.bit(context)
    assert 1_000 < decoder.bits < 13_000


def test_bytes_used_grow_with_the_message_and_end_at_its_length() -> None:
    data = encoded(skewed(4_000, 0.3, 5))
    decoder, known = Decoder(data), contexts(1)
    used = [decoder.bytes_used]
    for _ in range(4_000):
        decoder.bit(known[0])
        used.append(decoder.bytes_used)
    assert used[0] == pytest.approx(0, abs=1e-6)
    assert used == sorted(used)
    assert used[-1] == pytest.approx(len(data), abs=1.5)


@settings(max_examples=20)
@given(st.integers(0, 2**32))
def test_long_random_messages_come_back(seed: int) -> None:
    draw = random.Random(seed)
    message: list[Step] = []
    for _ in range(1_500):
        if draw.random() < 0.2:
            bits = draw.randrange(20)
            message.append((-1, bits, draw.getrandbits(bits) if bits else 0))
        else:
            context = draw.randrange(CONTEXTS)
            message.append((context, 0, int(draw.random() < (0.001, 0.5, 0.97)[context])))
    read, decoder = decoded(encoded(message), kinds_of(message))
    assert read == message
    assert decoder.whole


def test_the_bytes_of_a_message_stay_as_they_are() -> None:
    message: list[Step] = [(0, 0, n % 7 == 0) for n in range(100)]
    message += [(-1, 12, 0xABC), (1, 0, 1), (-1, 5, 0), *[(2, 0, 1)] * 40, (2, 0, 0)]
    assert encoded(message).hex() == "837eb3dbaca43dfcbe715d06"
