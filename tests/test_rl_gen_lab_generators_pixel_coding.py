"""Pixels in blocks: any pixels come back, at the cost of each pixel by itself."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rl_gen_lab.compression.ans import Stack
from rl_gen_lab.generators import pixel_coding
from rl_gen_lab.generators.bounds import BITS


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(2, 6), st.integers(1, 150), st.floats(0.1, 40.0))
def test_any_pixels_come_back_also_those_that_are_nearly_impossible(
    seed: int, k: int, pixels: int, scale: float
) -> None:
    rng = np.random.default_rng(seed)
    logits = scale * rng.standard_normal((k, pixels))
    log_p = logits - np.logaddexp.reduce(logits, 0)
    numbers = np.where(rng.random(pixels) < 0.8, log_p.argmax(0), rng.integers(k, size=pixels))
    stack, writer = Stack(), pixel_coding.Writer()
    assert np.array_equal(pixel_coding.code_pixels(writer, log_p, numbers), numbers)
    writer.push(stack)
    stack = Stack(stack.to_bytes())
    assert np.array_equal(pixel_coding.code_pixels(pixel_coding.Reader(stack), log_p, None), numbers)


def test_blocks_cost_what_their_pixels_cost() -> None:
    """The chain rule: whole blocks and exceptions together are as long as every pixel by itself."""
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((4, 5_000)) + np.array([5.0, 0.0, 0.0, 0.0])[:, None]
    log_p = logits - np.logaddexp.reduce(logits, 0)
    numbers = (log_p + rng.gumbel(size=log_p.shape)).argmax(0)  # as likely as they claim
    stack, writer = Stack(), pixel_coding.Writer()
    pixel_coding.code_pixels(writer, log_p, numbers)
    writer.push(stack)
    assert stack.bits == pytest.approx(-BITS * log_p[numbers, np.arange(5_000)].sum(), rel=1e-4, abs=2)


def test_colors_that_are_as_good_as_impossible_come_back() -> None:
    log_p = np.array([[0.0, 0.0], [-800.0, -1e-3], [-900.0, -5.0]])
    for numbers in (np.array([2, 0]), np.array([1, 1])):
        stack, writer = Stack(), pixel_coding.Writer()
        pixel_coding.code_pixels(writer, log_p, numbers)
        writer.push(stack)
        assert np.array_equal(pixel_coding.code_pixels(pixel_coding.Reader(stack), log_p, None), numbers)
