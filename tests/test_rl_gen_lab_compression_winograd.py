"""Winograd's convolutions: exact in fractions, errors within bars and the bound, as many products as promised."""

from __future__ import annotations

import random
from collections.abc import Iterator
from fractions import Fraction
from itertools import cycle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.compression import winograd
from rl_gen_lab.compression.winograd import (
    TILES,
    break_even,
    convolve,
    convolve_transformed,
    error_bound,
    multiplications,
    rational_transforms,
    transform_filters,
    transforms,
)

tiles = pytest.mark.parametrize("tile", TILES)


def layer(seed: int, outputs: int = 6) -> tuple[Tensor, Tensor, int]:
    """Images, weight and padding of a random layer, odd sizes among them; the largest of many outputs is large."""
    draw = random.Random(seed)
    generator = torch.Generator().manual_seed(seed)
    batch, channels, height, width = draw.randint(1, 3), draw.randint(1, 48), draw.randint(6, 21), draw.randint(6, 21)
    images = torch.randn(batch, channels, height, width, generator=generator)
    return images, torch.randn(outputs, channels, 3, 3, generator=generator), seed % 2


def direct(images: Tensor, weight: Tensor, padding: int) -> Tensor:
    return F.conv2d(images.double(), weight.double(), padding=padding)


def relative_error(out: Tensor, exact: Tensor) -> float:
    assert out.shape == exact.shape
    return float((out.double() - exact).abs().max() / exact.abs().max())


def exact_arrays(tile: int) -> list[np.ndarray]:
    return [np.array(matrix, dtype=object) for matrix in rational_transforms(tile)]


def is_minimal_filter(a: np.ndarray, g: np.ndarray, b: np.ndarray) -> bool:
    """Whether output k has the factor 1 for tap j times input k + j, and 0 for every other pair."""
    factors = (a.T[:, None] * g.T) @ b.T
    return all(f == (i == k + j) for (k, j, i), f in np.ndenumerate(factors))


@tiles
def test_the_bilinear_identity_holds_exactly_and_no_sign_can_be_flipped(tile: int) -> None:
    matrices = exact_arrays(tile)
    assert [m.shape for m in matrices] == [(tile + 2, tile), (tile + 2, 3), (tile + 2, tile + 2)]
    assert is_minimal_filter(*matrices)
    for matrix in matrices:
        for place in zip(*matrix.nonzero(), strict=True):
            matrix[place] *= -1
            assert not is_minimal_filter(*matrices)
            matrix[place] *= -1


@tiles
def test_nested_over_both_axes_it_is_the_convolution_in_fractions(tile: int) -> None:
    a, g, b = exact_arrays(tile)
    draw = random.Random(tile)

    def fractions(side: int) -> np.ndarray:
        return np.array(
            [[Fraction(draw.randint(-99, 99), draw.randint(1, 99)) for _ in range(side)] for _ in range(side)]
        )

    x, w = fractions(tile + 2), fractions(3)
    out = a.T @ ((g @ w @ g.T) * (b.T @ x @ b)) @ a
    for (row, column), entry in np.ndenumerate(out):
        assert entry == (x[row : row + 3, column : column + 3] * w).sum()


@tiles
def test_the_float64_transforms_are_the_rational_ones_and_only_the_filters_is_rounded(tile: int) -> None:
    for matrix, exact, name in zip(transforms(tile), rational_transforms(tile), "AGB", strict=True):
        assert matrix.dtype == torch.float64
        assert matrix.tolist() == [[float(entry) for entry in row] for row in exact]
        if name != "G":
            short = matrix.bfloat16().tolist()
            assert [[Fraction(entry) for entry in row] for row in short] == [list(row) for row in exact]


def test_two_by_two_is_what_the_paper_prints_up_to_signs() -> None:
    a, g, b = transforms(2)
    assert a.T.abs().tolist() == [[1, 1, 1, 0], [0, 1, 1, 1]]
    assert g.abs().tolist() == [[1, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0.5], [0, 0, 1]]
    assert b.T.abs().tolist() == [[1, 0, 1, 0], [0, 1, 1, 0], [0, 1, 1, 0], [0, 1, 0, 1]]


def test_multiplications_of_a_tile() -> None:
    assert [multiplications(tile) for tile in TILES] == [(16, 36), (36, 144), (64, 324)]


@pytest.mark.parametrize(("tile", "bar"), [(2, 1e-6), (4, 2e-5), (6, 5e-5)])
def test_errors_over_random_layers_keep_within_their_bars(tile: int, bar: float) -> None:
    for seed in range(24):
        images, weight, padding = layer(seed)
        exact = direct(images, weight, padding)
        single = convolve(images, weight, tile, padding)
        assert single.dtype == torch.float32
        assert relative_error(single, exact) <= bar
        double = convolve(images.double(), weight.double(), tile, padding)
        assert double.dtype == torch.float64
        assert relative_error(double, exact) <= 1e-12
        filters = transform_filters(weight, tile).double()
        assert not torch.equal(single, convolve_transformed(images.double(), filters, padding).float())


# Rounding the exact output to bfloat16 would cost 2^-9, 2e-3: transforms cost more.
@pytest.mark.parametrize(("tile", "least", "most"), [(2, 2.5e-3, 0.02), (4, 0.01, 0.5), (6, 0.02, 0.5)])
def test_bfloat16_is_computed_in_and_coarser_with_larger_tiles(tile: int, least: float, most: float) -> None:
    for seed in range(8):
        images, weight, padding = layer(seed)
        images, weight = images.bfloat16(), weight.bfloat16()
        out = convolve(images, weight, tile, padding)
        assert out.dtype == torch.bfloat16
        assert least < relative_error(out, direct(images, weight, padding)) < most


@tiles
@pytest.mark.parametrize("size", [(3, 3), (1, 1), (2, 9), (8, 3)])
def test_images_smaller_than_a_tile_and_batches_of_none(tile: int, size: tuple[int, int]) -> None:
    for batch in (2, 0):
        images = torch.randn(batch, 3, *size, dtype=torch.float64)
        weight = torch.randn(2, 3, 3, 3, dtype=torch.float64)
        torch.testing.assert_close(convolve(images, weight, tile, 1), F.conv2d(images, weight, padding=1))


@tiles
@pytest.mark.parametrize("which", range(3))
def test_a_sign_flipped_in_a_transform_shows_in_the_output(
    tile: int, which: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = transforms(tile)
    wrong[which][1, 1] *= -1
    images, weight, padding = layer(3)
    monkeypatch.setattr(winograd, "transforms", lambda _: wrong)
    error = relative_error(convolve(images, weight, tile, padding), direct(images, weight, padding))
    assert error > 1e-2


@tiles
def test_filters_are_transformed_once_for_all_batches_in_the_dtype_that_was_asked_for(tile: int) -> None:
    images, weight, padding = layer(5)
    fine, coarse = transform_filters(weight, tile), transform_filters(weight, tile, torch.float32)
    assert fine.dtype == coarse.dtype == torch.float32
    assert fine.shape == coarse.shape == (tile + 2, tile + 2, *weight.shape[:2])
    assert torch.equal(convolve_transformed(images, fine, padding), convolve(images, weight, tile, padding))
    exact = transform_filters(weight.double(), tile)
    assert torch.equal(fine, exact.float())
    assert not torch.equal(coarse, fine)
    rounded = (coarse - exact).abs().max() / exact.abs().max()
    assert 0 < (fine - exact).abs().max() / exact.abs().max() <= rounded < 1e-6


@st.composite
def operands(draw: st.DrawFn) -> tuple[Tensor, Tensor, int]:
    """Small layers of all scales: sparse ones, where few terms can hide an error, and offsets, which cancel."""
    padding = draw(st.integers(0, 2))
    batch, channels, outputs = draw(st.integers(1, 2)), draw(st.integers(1, 9)), draw(st.integers(1, 3))
    height, width = (draw(st.integers(max(1, 3 - 2 * padding), 15)) for _ in range(2))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))

    def tensor(*shape: int) -> Tensor:
        scale, offset = 10.0 ** draw(st.integers(-6, 6)), draw(st.sampled_from([0.0, 1.0, 100.0]))
        kept = torch.rand(shape, generator=generator) < draw(st.sampled_from([0.1, 0.5, 1.0]))
        return scale * kept * (offset + torch.randn(shape, generator=generator))

    return tensor(batch, channels, height, width), tensor(outputs, channels, 3, 3), padding


@settings(max_examples=80)
@given(operands(), st.sampled_from(TILES), st.sampled_from([torch.float32, torch.float64]))
def test_no_output_is_further_off_than_its_bound(
    case: tuple[Tensor, Tensor, int], tile: int, filters_in: torch.dtype
) -> None:
    images, weight, padding = case
    out = convolve_transformed(images, transform_filters(weight, tile, filters_in), padding)
    bound = error_bound(images, weight, tile, padding)
    assert bound.dtype == torch.float64
    assert ((out.double() - direct(images, weight, padding)).abs() <= bound).all()


# Nonzero entries of the longest rows of B^T and A^T, counted in the papers' matrices.
@pytest.mark.parametrize(("tile", "inputs", "outputs"), [(2, 2, 3), (4, 4, 5), (6, 6, 7)])
def test_the_bound_is_the_sum_of_absolute_terms_times_the_roundings_that_each_can_meet(
    tile: int, inputs: int, outputs: int
) -> None:
    channels, generator = 5, torch.Generator().manual_seed(tile)
    images = torch.randn(1, channels, tile + 2, tile + 2, generator=generator)
    weight = torch.randn(1, channels, 3, 3, generator=generator)
    a, g, b = (np.abs(matrix.numpy()) for matrix in transforms(tile))
    x, w = (np.abs(tensor[0].double().numpy()) for tensor in (images, weight))
    terms = np.einsum("pk,ql,pi,qj,cij,rp,sq,crs->kl", a, a, g, g, w, b, b, x, optimize=True)
    roundings = 8 + 2 * inputs + channels + 2 * outputs + 1
    expected = terms * roundings * 2.0**-24 / (1 - roundings * 2.0**-24)
    np.testing.assert_allclose(error_bound(images, weight, tile)[0, 0].numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize(("tile", "bar"), [(2, 2e-4), (4, 5e-3), (6, 1e-2)])
def test_the_bound_says_something(tile: int, bar: float) -> None:
    generator = torch.Generator().manual_seed(0)
    for channels in (1, 8, 32):
        images = torch.randn(2, channels, 9, 9, generator=generator)
        weight = torch.randn(16, channels, 3, 3, generator=generator)
        exact, bound = direct(images, weight, 0), error_bound(images, weight, tile)
        assert bound.max() < bar * exact.abs().max()


def test_what_does_not_fit_is_refused_in_one_line() -> None:
    images, weight = torch.zeros(1, 2, 5, 5), torch.zeros(4, 2, 3, 3)
    for tile in (0, 3, 8):
        with pytest.raises(ConfigError, match="choose 2, 4 or 6"):
            convolve(images, weight, tile)
        with pytest.raises(ConfigError, match="choose 2, 4 or 6"):
            multiplications(tile)
    for kernel in (torch.zeros(4, 2, 5, 5), torch.zeros(4, 2, 3), torch.zeros(4, 2, 3, 1)):
        for function in (convolve, error_bound):
            with pytest.raises(ConfigError, match="use conv2d"):
                function(images, kernel, 2)
    for other, padding, words in [
        (images.double(), 0, "convert"),
        (images[:, :1], 0, "must be"),
        (images[0], 0, "must be"),
        (images[:, :, :2], 0, "no 3x3 window"),
        (images, -1, "no 3x3 window"),
    ]:
        for function in (convolve, error_bound):
            with pytest.raises(ConfigError, match=words):
                function(other, weight, 4, padding)
    with pytest.raises(ConfigError, match=r"not torch\.float16"):
        convolve(images.half(), weight.half(), 2)
    with pytest.raises(ConfigError, match="bound is for float32"):
        error_bound(images.double(), weight.double(), 2)
    with pytest.raises(ConfigError, match="1 or more"):
        break_even([(1, 2, 2, 5, 5)], 0)


def scripted_clock(durations: list[float]) -> Iterator[float]:
    """Readings at the beginning and the end of calls that last so long, one after the other."""
    now = 0.0
    for duration in cycle(durations):
        yield now
        now += duration
        yield now


def test_methods_take_turns_and_their_medians_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    turns = [[1.0, 2.0, 4.0, 8.0], [100.0, 2.5, 4.5, 800.0], [1.5, 2.25, 0.0, 8.5]]
    readings = scripted_clock([duration for turn in turns for duration in turn])
    monkeypatch.setattr(winograd, "process_time", lambda: next(readings))
    rows = break_even([(1, 2, 3, 9, 8), (2, 1, 1, 5, 5)], repeats=3)
    methods = ["conv2d", "F(2x2,3x3)", "F(4x4,3x3)", "F(6x6,3x3)"]
    assert [row["method"] for row in rows] == 2 * methods
    assert [row["shape"] for row in rows] == [(1, 2, 3, 9, 8)] * 4 + [(2, 1, 1, 5, 5)] * 4
    assert [row["milliseconds"] for row in rows] == pytest.approx([1500, 2250, 4000, 8500] * 2)
    assert [row["times_conv2d"] for row in rows[:4]] == pytest.approx([1, 1.5, 8 / 3, 17 / 3])
    # 7 x 6 outputs: 4 x 3, 2 x 2 and 2 x 1 tiles for each of 6 filters of a channel.
    assert [row["multiplications"] for row in rows[:4]] == [6 * 42 * 9, 6 * 12 * 16, 6 * 4 * 36, 6 * 2 * 64]
    assert all(0 < row["relative_error"] < 5e-5 for row in rows)


def test_real_times_are_positive() -> None:
    assert all(row["milliseconds"] > 0 for row in break_even([(1, 4, 4, 9, 9)], repeats=2))
