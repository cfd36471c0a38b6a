"""Coded tensors: their values are exactly those promised, on every machine."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rl_gen_lab.compression import coded
from rl_gen_lab.compression.coded import CodedTensor, check, check_places, stored_step

SMALLEST_NORMAL = 2.0**-126
positive = st.floats(2.0**-100, 2.0**100, width=32)


def weights(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def rounded_to_16_bits(number: float) -> float:
    """The nearest of all float32 whose lower 16 bits are 0, ties away from 0; from the bits that struct writes."""
    bits = struct.unpack("<I", struct.pack("<f", number))[0]
    below, above = ((bits >> 16) + up << 16 for up in (0, 1))
    low, high = (struct.unpack("<f", struct.pack("<I", near))[0] for near in (below, above))
    return float(low if number - low < high - number else high)


@given(positive)
@example(1.0)
@example(1.00390625)  # half way between two of them
def test_a_stored_step_is_the_nearest_number_of_16_bits(step: float) -> None:
    (kept,) = stored_step(step)
    assert kept == rounded_to_16_bits(step)
    assert abs(kept - step) <= step / 256
    np.testing.assert_array_equal(stored_step(kept), [kept])
    assert kept.view(np.uint32) & 0xFFFF == 0


@pytest.mark.parametrize("step", [0.0, 1e-45, 1e-40])
def test_a_stored_step_is_never_0(step: float) -> None:
    assert stored_step(step) == [SMALLEST_NORMAL]


def test_steps_of_rows_are_rounded_each() -> None:
    steps = np.array([0.1, 3.0, 1e-5], np.float32)
    kept = stored_step(steps)
    assert kept.dtype == np.float32
    np.testing.assert_array_equal(kept, [rounded_to_16_bits(step) for step in steps])


def test_plain_floats_come_back_bit_for_bit() -> None:
    array = weights(3, 4)
    array[0, 0], array[0, 1] = -0.0, 1e-42
    values = coded.plain(array).values()
    assert values.tobytes() == array.tobytes()
    assert values.shape == array.shape


def test_halves_are_rounded_to_the_nearest_half() -> None:
    array = weights(5, 2)
    tensor = coded.plain(array, half=True)
    assert tensor.kind == "float16"
    expected = [struct.unpack("<e", struct.pack("<e", number))[0] for number in array.ravel()]
    assert tensor.values().dtype == np.float32
    np.testing.assert_array_equal(tensor.values().ravel(), expected)


@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 4), (4, 3, 2, 2)])
def test_every_kind_keeps_every_shape(shape: tuple[int, ...]) -> None:
    array = weights(*shape)
    tensors = [
        coded.plain(array),
        coded.plain(array, half=True),
        coded.constant(-2.5, shape),
        coded.levels(array, 0.25),
        coded.eight_bits(array),
        coded.codebook(np.zeros(shape, np.int64), np.array([1.5])),
    ]
    for tensor in tensors:
        assert tensor.shape == tensor.values().shape == shape
        assert tensor.values().dtype == np.float32
        check(tensor)
        assert np.prod(tensor.stored_shape) == array.size


def test_levels_are_the_nearest_multiples_of_the_kept_step() -> None:
    array = weights(6, 5)
    tensor = coded.levels(array, 0.3)
    step = rounded_to_16_bits(0.3)
    expected = [[np.float32(round(float(number) / step)) * np.float32(step) for number in row] for row in array]
    np.testing.assert_array_equal(tensor.values(), np.array(expected, np.float32), strict=True)
    assert np.abs(tensor.values() - array).max() <= step / 2 + 1e-6


def test_rows_with_steps_of_their_own_are_multiples_of_these() -> None:
    array, steps = weights(3, 2, 2, 2), np.array([0.5, 0.01, 2.0], np.float32)
    values = coded.levels(array, steps).values()
    for row, exact, step in zip(values, array, map(rounded_to_16_bits, steps), strict=True):
        assert set((row / np.float32(step)).ravel().tolist()) <= set(map(float, range(-1_000, 1_000)))
        assert np.abs(row - exact).max() <= step / 2 * 1.0001
    vector = coded.levels(np.array([0.9, 0.9], np.float32), np.array([1.0, 0.25]))
    np.testing.assert_array_equal(vector.values(), [1.0, 1.0])
    assert vector.codes is not None
    assert vector.codes.tolist() == [1, 4]


@pytest.mark.parametrize("number", [np.nan, np.inf, 3e9])
def test_levels_refuse_what_no_code_can_hold(number: float) -> None:
    with pytest.raises(ValueError, match="too large"):
        coded.levels(np.array([0.0, number], np.float32), 1.0)


@given(st.floats(2.0**-110, 2.0**100, width=32), st.integers(0, 99))
@example(1.00390625, 0)
def test_eight_bits_reach_the_largest_weight_on_255_levels(largest: float, seed: int) -> None:
    array = weights(50, seed=seed)
    array *= np.float32(largest) / np.abs(array).max()
    tensor = coded.eight_bits(array)
    assert tensor.codes is not None
    assert np.abs(tensor.codes).max() == 127
    assert np.abs(tensor.values() - array).max() <= largest / 127 * 0.51


@pytest.mark.parametrize("largest", [0.0, 1e-45, 1e-40])
def test_eight_bits_of_zeros_and_of_next_to_nothing(largest: float) -> None:
    values = coded.eight_bits(np.array([largest, 0.0, -largest], np.float32)).values()
    np.testing.assert_allclose(values, 0, atol=1e-38)


def test_a_codebook_is_a_table_of_halves() -> None:
    places, entries = np.array([[0, 2], [1, 1]]), np.array([0.0, 0.1, -3.0])
    values = coded.codebook(places, entries).values()
    tenth = struct.unpack("<e", struct.pack("<e", 0.1))[0]
    np.testing.assert_array_equal(values, np.array([[0.0, -3.0], [tenth, tenth]], np.float32), strict=True)


def test_values_are_one_float32_product_whatever_the_machine() -> None:
    """Committed bytes: of codes beyond the 24 bits of a float32 too, which are rounded to even first."""
    codes = np.array([[1, -3, 16_777_217], [2_147_483_647, 0, -16_777_219]], np.int32)
    steps = stored_step(np.array([0.1, 1e-3]))
    tensor = CodedTensor("levels", (2, 3), steps, codes)
    assert tensor.values().astype("<f4").tobytes().hex() == "0000cd3d00c099be0000cd490000034a00000000020083c6"


def test_images_keep_grey_levels_and_are_written_as_differences() -> None:
    frame = np.array([[10, 10, 12], [250, 0, 7]], np.float32)
    tensor = coded.image(frame[None] + 0.3)
    np.testing.assert_array_equal(tensor.values(), frame[None])
    np.testing.assert_array_equal(tensor.stored_codes(), [[10, 0, 2, 238, -250, 7]])
    assert not tensor.repeated


def test_equal_channels_are_written_once() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (5, 4)).astype(np.float32)
    tensor = coded.image(np.stack([frame] * 3))
    assert tensor.repeated
    np.testing.assert_array_equal(tensor.values(), np.stack([frame] * 3))
    np.testing.assert_array_equal(tensor.stored_codes(), np.diff(frame, axis=1, prepend=0))
    other = coded.image(np.stack([frame, frame, frame + 1]))
    assert not other.repeated
    assert other.stored_codes().shape == other.stored_shape == (3, 20)
    np.testing.assert_array_equal(np.cumsum(other.stored_codes(), 1).reshape(3, 5, 4)[1:], [frame, frame + 1])


def test_differences_of_the_largest_codes_do_not_wrap() -> None:
    codes = np.array([[-(2**31) + 1, 2**31 - 1]], np.int32)
    tensor = CodedTensor("levels", (1, 2), stored_step(1.0), codes, predicted=True)
    assert tensor.stored_codes().tolist() == [[-(2**31) + 1, 2**32 - 2]]


def test_order0_bytes_are_the_entropy_of_what_is_written() -> None:
    codes = np.array([[0, 0, 0, 0], [1, 1, -2, 5]])
    # shares 1/2, 1/4, 1/8, 1/8
    assert coded.levels(codes.astype(np.float32), 1.0).order0_bytes() == pytest.approx(8 * 1.75 / 8)
    assert coded.levels(np.zeros((3, 3), np.float32), 1.0).order0_bytes() == 0
    assert coded.levels(np.zeros((0, 3), np.float32), 1.0).order0_bytes() == 0
    assert coded.plain(np.zeros((2, 3))).order0_bytes() == 24
    ramp = coded.image(np.arange(64, dtype=np.float32).reshape(1, 8, 8))
    assert ramp.order0_bytes() < 1  # all differences but the first are 1


ONE = stored_step(1.0)
ZEROS = np.zeros((2, 3), np.int32)


@pytest.mark.parametrize(
    "tensor",
    [
        CodedTensor("constant", (2, 3), np.zeros(2, np.float32)),
        CodedTensor("float32", (2, 3), np.zeros(5, np.float32)),
        CodedTensor("float32", (2, 3), np.zeros(6, np.float32), ZEROS),
        CodedTensor("float16", (2, 3), np.zeros(6, np.float32), repeated=True),
        CodedTensor("constant", (2, 3), ONE, predicted=True),
        CodedTensor("levels", (2, 3), ONE),
        CodedTensor("levels", (2, 3), np.ones(3, np.float32), ZEROS),
        CodedTensor("levels", (2, 3), np.ones(0, np.float32), ZEROS),
        CodedTensor("levels", (3, 2), ONE, ZEROS),
        CodedTensor("levels", (1, 6), ONE, ZEROS.reshape(1, 6), repeated=True),
        CodedTensor("levels", (6,), ONE, ZEROS.reshape(6), repeated=True),
        CodedTensor("levels", (2, 3), ONE, np.array([[0, 0, 0], [0, 0, 1]], np.int32), repeated=True),
        CodedTensor("codebook", (2, 3), np.zeros(257, np.float32), ZEROS),
        CodedTensor("codebook", (2, 3), np.zeros(0, np.float32), ZEROS),
    ],
)
def test_tensors_that_contradict_themselves_are_refused(tensor: CodedTensor) -> None:
    with pytest.raises(ValueError, match="do not fit"):
        check(tensor)


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_floats_that_are_not_finite_are_refused(number: float) -> None:
    for tensor in (
        coded.plain(np.array([1.0, number])),
        coded.constant(number, (3,)),
        CodedTensor("codebook", (2, 3), np.array([number], np.float32), ZEROS),
    ):
        with pytest.raises(ValueError, match="not finite"):
            check(tensor)


def test_levels_whose_largest_code_would_overflow_are_refused() -> None:
    for step in (2.0**97, -(2.0**97)):
        with pytest.raises(ValueError, match="too far apart"):
            check(CodedTensor("levels", (2, 3), np.array([step], np.float32), ZEROS))
    largest = CodedTensor("levels", (1,), np.array([2.0**96], np.float32), np.array([2**31 - 1], np.int32))
    check(largest)
    assert np.isfinite(largest.values()).all()


@pytest.mark.parametrize("place", [-1, 2, 2**31 - 1])
def test_places_outside_the_codebook_are_refused(place: int) -> None:
    tensor = CodedTensor("codebook", (2,), np.zeros(2, np.float32), np.array([1, place], np.int32))
    with pytest.raises(ValueError, match="outside its codebook"):
        check_places(tensor)
