"""Convolutions with fewer multiplications: Winograd's minimal filtering F(m x m, 3 x 3) for m = 2, 4 and 6.

Source: Lavin & Gray 2016, "Fast algorithms for convolutional neural networks", section 4. Along one axis, m outputs of
a filter g of 3 taps over n = m + 2 inputs x are A^T [(G g) * (B^T x)], * elementwise: n multiplications instead of 3 m.
Nested over both axes, A^T [(G g G^T) * (B^T x B)] A takes n^2 instead of 9 m^2. The price is accuracy: larger tiles
have larger coefficients, whose products cancel in the sums. `error_bound` says what that can cost, `break_even`
measures error and time: in plain torch the transforms cost more than the multiplications that they save.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import cache, partial
from math import prod
from statistics import median
from time import process_time
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from rl_gen_lab.cli.errors import ConfigError

TAPS = 3
TILES = (2, 4, 6)
DTYPES = (torch.float32, torch.float64, torch.bfloat16)
# F(m, 3) takes the first m + 1 of these and infinity: small numbers and their inverses make small coefficients.
POINTS = (*map(Fraction, (0, 1, -1, 2, -2)), Fraction(1, 2), Fraction(-1, 2))
UNIT_ROUNDOFF = 2.0**-24  # of float32, rounded to nearest
FILTER_ROUNDINGS = 2 * (1 + TAPS)  # for each axis an entry of G, a product and two additions

Matrix = tuple[tuple[Fraction, ...], ...]


@cache
def rational_transforms(tile: int) -> tuple[Matrix, Matrix, Matrix]:
    """Return A (n, m), G (n, 3) and B (n, n), exact, for m = `tile` outputs and n = m + 2 inputs.

    The Cook-Toom construction: polynomials of m and of 3 coefficients are multiplied by their values at n - 1 points
    and at infinity, where the value is the leading coefficient. Rows of A and G evaluate, columns of B interpolate by
    Lagrange's polynomials; the filter is the transpose of this product. The denominators of Lagrange's polynomials
    stand in G, which images do not pass through: entries of A and B are short binary fractions, exact in every dtype.

    Source: Lavin & Gray 2016, section 4; Barabasz et al. 2020, "Error analysis and improving the accuracy of Winograd
    convolution for deep neural networks". Raises: ConfigError for another tile.
    """
    _check_tile(tile)
    points = POINTS[: tile + 1]
    others = [points[:i] + points[i + 1 :] for i in range(len(points))]
    scales = [prod(point - other for other in rest) for point, rest in zip(points, others, strict=True)]
    a = [tuple(point**k for k in range(tile)) for point in points]
    g = [tuple(point**k / scale for k in range(TAPS)) for point, scale in zip(points, scales, strict=True)]
    columns = [(*_coefficients(rest), Fraction(0)) for rest in others]
    a.append((Fraction(0),) * (tile - 1) + (Fraction(1),))
    g.append((Fraction(0),) * (TAPS - 1) + (Fraction(1),))
    columns.append(_coefficients(points))
    return tuple(a), tuple(g), tuple(zip(*columns, strict=True))


def _check_tile(tile: int) -> None:
    if tile not in TILES:
        raise ConfigError(f"no Winograd tile has {tile}x{tile} outputs here: choose 2, 4 or 6")


def _coefficients(roots: Sequence[Fraction]) -> tuple[Fraction, ...]:
    """Return the coefficients of the polynomial x^k + ... with these k roots, the constant first."""
    out: tuple[Fraction, ...] = (Fraction(1),)
    for root in roots:
        out = tuple(up - root * here for up, here in zip((Fraction(0), *out), (*out, Fraction(0)), strict=True))
    return out


@cache
def _float64_transforms(tile: int) -> tuple[Tensor, ...]:
    matrices = rational_transforms(tile)
    return tuple(torch.tensor([list(map(float, row)) for row in matrix], dtype=torch.float64) for matrix in matrices)


def transforms(tile: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return A (n, m), G (n, 3) and B (n, n) as float64: A and B exact, G rounded. Raises: ConfigError."""
    a, g, b = (matrix.clone() for matrix in _float64_transforms(tile))
    return a, g, b


def multiplications(tile: int) -> tuple[int, int]:
    """Return the multiplications of one tile of one channel by one filter: of Winograd, and direct.

    Those of the transforms do not count: filters share a transformed image, channels a transformed output.
    Raises: ConfigError for another tile.
    """
    _check_tile(tile)
    return (tile + TAPS - 1) ** 2, (tile * TAPS) ** 2


def transform_filters(weight: Tensor, tile: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """Return G g G^T of every filter, computed in `dtype`, then rounded to the dtype of `weight`.

    weight: (C', C, 3, 3) float32, float64 or bfloat16 -> (n, n, C', C), for `convolve_transformed`.
    Raises: ConfigError for another tile, kernel size or dtype.
    """
    _, g, _ = transforms(tile)
    _check_weight(weight)
    taps = weight.permute(2, 3, 0, 1).to(dtype)
    return _along_both_axes(g.to(taps), taps).to(weight.dtype)


def _check_weight(weight: Tensor) -> None:
    if weight.dim() != 4 or weight.shape[2:] != (TAPS, TAPS):
        raise ConfigError(f"Winograd filters are (C', C, 3, 3), not {tuple(weight.shape)}: use conv2d")
    if weight.dtype not in DTYPES:
        raise ConfigError(f"Winograd computes in float32, float64 or bfloat16, not {weight.dtype}: convert first")


def _along_both_axes(matrix: Tensor, tiles: Tensor) -> Tensor:
    """matrix: (k, n), tiles: (n, n, P, Q) -> matrix x matrix^T of every n by n tile x, (k, k, P, Q)."""
    after, before = matrix.shape
    half = matrix.expand(before, after, before) @ tiles.flatten(2)
    return (matrix @ half.flatten(1)).view(after, after, *tiles.shape[2:])


def convolve(images: Tensor, weight: Tensor, tile: int, padding: int = 0) -> Tensor:
    """Return what `torch.nn.functional.conv2d` does with stride 1, by tiles of `tile` x `tile` outputs.

    images: (B, C, H, W), weight: (C', C, 3, 3), both float32, float64 or bfloat16 -> (B, C', H', W') of that dtype,
    H' = H + 2 `padding` - 2. Filters are transformed in float64, all else is computed in the dtype of the images.
    Raises: ConfigError for another tile, kernel size or dtype, and for images that do not fit.
    """
    return convolve_transformed(images, transform_filters(weight, tile), padding)


def convolve_transformed(images: Tensor, filters: Tensor, padding: int = 0) -> Tensor:
    """As `convolve`. filters: (n, n, C', C), from `transform_filters`, which need not be repeated for every batch.

    Raises: ConfigError.
    """
    a, _, b = transforms(filters.shape[0] - TAPS + 1)
    _check_images(images, filters, padding)
    return _by_tiles(images, filters, a.to(images), b.to(images), padding)


def _check_images(images: Tensor, filters: Tensor, padding: int) -> None:
    if images.dim() != 4 or images.shape[1] != filters.shape[3]:
        raise ConfigError(f"images must be (B, {filters.shape[3]}, H, W) for these filters, not {tuple(images.shape)}")
    if images.dtype != filters.dtype:
        raise ConfigError(f"images are {images.dtype}, filters {filters.dtype}: convert one of them")
    if padding < 0 or min(images.shape[2:]) + 2 * padding < TAPS:
        raise ConfigError(f"padding {padding} leaves no 3x3 window in {tuple(images.shape[2:])}: increase it")


def _by_tiles(images: Tensor, filters: Tensor, a: Tensor, b: Tensor, padding: int) -> Tensor:
    """Cut overlapping tiles, transform, multiply, transform back. The last tiles are padded, their outputs cropped."""
    (size, tile), (batch, channels) = a.shape, images.shape[:2]
    rows, columns = (side + 2 * padding - TAPS + 1 for side in images.shape[2:])
    tall, wide = -(-rows // tile), -(-columns // tile)
    margins = (padding, padding + wide * tile - columns, padding, padding + tall * tile - rows)
    tiles = F.pad(images, margins).unfold(2, size, tile).unfold(3, size, tile)
    tiles = tiles.permute(4, 5, 1, 0, 2, 3).reshape(size, size, channels, batch * tall * wide)
    outputs = _along_both_axes(a.T, filters @ _along_both_axes(b.T, tiles))
    outputs = outputs.view(tile, tile, filters.shape[2], batch, tall, wide).permute(3, 2, 4, 0, 5, 1)
    return outputs.reshape(batch, filters.shape[2], tall * tile, wide * tile)[:, :, :rows, :columns].contiguous()


def error_bound(images: Tensor, weight: Tensor, tile: int, padding: int = 0) -> Tensor:
    """Return a proven bound on the distance of float32 `convolve` from the exact convolution, for each output.

    Written out, an output is a sum of terms a g w g b x b a, entries of the three transforms and of the operands. An
    operation of floating point multiplies its exact result by 1 + d, |d| <= u = 2^-24. In a sum of N products, in any
    order, fused or not, a term meets at most N factors: one from its product, N - 1 from additions (zeros add none). So
    a term meets K factors, with 2 N for each transform, N the nonzero entries of its longest row:
      FILTER_ROUNDINGS for the filter, transformed in float32 (or float64, which rounds once),
      2 N of B^T, C for the sum over channels, 2 N of A^T (entries of A and B are exact),
      1 for what is computed in float64: filters, and this bound.
    K factors are 1 + t with |t| <= gamma = K u / (1 - K u), so that the error is at most gamma times the sum of the
    terms' absolute values: gamma |A^T| (sum over channels of (|G| |w| |G^T|) * (|B^T| |x| |B|)) |A|. It assumes that
    nothing overflows or underflows, and that no faster arithmetic than float32 was allowed (TF32, bfloat16).

    Source: Higham 2002, "Accuracy and stability of numerical algorithms", lemma 3.1 and section 3.1; for this algorithm
    Barabasz et al. 2020, theorem on the error in two dimensions.
    images: (B, C, H, W), weight: (C', C, 3, 3), both float32 -> (B, C', H', W') float64. Raises: ConfigError.
    """
    if {images.dtype, weight.dtype} != {torch.float32}:
        raise ConfigError(f"the bound is for float32, not {images.dtype} by {weight.dtype}: convert both")
    a, g, b = (matrix.abs().to(weight.device) for matrix in transforms(tile))
    _check_weight(weight)
    operands, taps = images.detach().double().abs(), weight.detach().double().abs().permute(2, 3, 0, 1)
    filters = _along_both_axes(g, taps)
    _check_images(operands, filters, padding)
    terms = _by_tiles(operands, filters, a, b, padding)
    longest = [int((matrix > 0).sum(0).max()) for matrix in (a, b)]
    roundings = FILTER_ROUNDINGS + 2 * sum(longest) + weight.shape[1] + 1
    return roundings * UNIT_ROUNDOFF / (1 - roundings * UNIT_ROUNDOFF) * terms


@torch.no_grad()
def break_even(shapes: Sequence[tuple[int, int, int, int, int]], repeats: int) -> list[dict[str, Any]]:
    """Measure torch's conv2d and each tile on layers of random float32 numbers, without padding.

    shapes: (B, C, C', H, W) of each layer. Filters were transformed before. Methods take turns, so that a busy machine
    delays all of them alike; times are medians of `repeats` turns, of all threads of the process together.

    Returns for each shape and method a dict: `shape`, `method`, `milliseconds`, `times_conv2d` (the time as a multiple
    of conv2d's), `relative_error` (largest distance from conv2d in float64, over its largest output) and
    `multiplications` (those of cropped outputs included, those of transforms not). Raises: ConfigError.
    """
    if repeats < 1:
        raise ConfigError(f"{repeats} repeats measure nothing: ask for 1 or more")
    return [row for shape in shapes for row in _measure_layer(shape, repeats)]


def _measure_layer(shape: tuple[int, int, int, int, int], repeats: int) -> list[dict[str, Any]]:
    batch, channels, out, height, width = shape
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(batch, channels, height, width, generator=generator)
    weight = torch.randn(out, channels, TAPS, TAPS, generator=generator)
    methods: dict[str, Callable[[], Tensor]] = {"conv2d": partial(F.conv2d, images, weight)}
    for tile in TILES:
        filters = transform_filters(weight, tile)
        methods[f"F({tile}x{tile},3x3)"] = partial(convolve_transformed, images, filters)
    exact = F.conv2d(images.double(), weight.double())
    errors = [float((method() - exact).abs().max() / exact.abs().max()) for method in methods.values()]
    seconds = _interleaved(list(methods.values()), repeats)
    counts = [exact.numel() * channels * TAPS**2]
    for tile in TILES:
        tiles = -(-exact.shape[2] // tile) * -(-exact.shape[3] // tile)
        counts.append(batch * channels * out * tiles * multiplications(tile)[0])
    return [
        {
            "shape": shape,
            "method": method,
            "milliseconds": 1e3 * time,
            "times_conv2d": time / seconds[0],
            "relative_error": error,
            "multiplications": count,
        }
        for method, time, error, count in zip(methods, seconds, errors, counts, strict=True)
    ]


def _interleaved(methods: Sequence[Callable[[], Tensor]], repeats: int) -> list[float]:
    """Return the median process time of each method, in seconds."""
    times: list[list[float]] = [[] for _ in methods]
    for _ in range(repeats):
        for method, own in zip(methods, times, strict=True):
            start = process_time()
            method()
            own.append(process_time() - start)
    return [median(own) for own in times]
