"""Bytes by other coders: entropy in plain Python, Huffman never below it, and xz as the program writes it."""

from __future__ import annotations

import lzma
import math
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils import parametrize

from rl_gen_lab.compression import coded, huffman, indices
from rl_gen_lab.compression.coded import CodedTensor
from rl_gen_lab.compression.measured import numbers, sizes


def tensor(seed: int, shape: tuple[int, ...] = (20, 30), spread: float = 1.5, kept: float = 0.4) -> CodedTensor:
    rng = np.random.default_rng(seed)
    codes = np.rint(rng.normal(scale=spread, size=shape)) * (rng.random(shape) < kept)
    return coded.levels(codes.astype(np.float32), 1.0)


def entropy_bytes(codes: np.ndarray) -> float:
    counts = Counter(codes.ravel().tolist())
    return sum(n * math.log2(codes.size / n) for n in counts.values()) / 8


@settings(max_examples=15)
@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=4), st.floats(0.3, 60), st.floats(0, 1))
def test_the_bound_is_the_entropy_and_huffman_does_not_beat_it(seeds: list[int], spread: float, kept: float) -> None:
    tensors = {str(seed): tensor(seed, spread=spread, kept=kept) for seed in seeds}
    found = sizes(tensors)
    bound = sum(entropy_bytes(t.codes) for t in tensors.values() if t.codes is not None)
    assert found["order0_bytes"] == round(bound)
    assert found["huffman_bytes"] >= bound
    table = sum(len(np.unique(t.codes)) for t in tensors.values() if t.codes is not None)
    spare = len(tensors) * 40 + 6 * table + 600 * len(tensors) / 8 + 300 * spread  # one bit a number, and tables
    assert found["huffman_bytes"] < bound + spare


def test_xz_is_what_the_program_writes_of_the_numbers() -> None:
    tensors = {"a": tensor(0, (100, 200), kept=0.3), "b": tensor(1, (7,))}
    flat = b"".join(t.codes.astype(np.int8).tobytes() for t in tensors.values() if t.codes is not None)
    found = sizes(tensors)["xz_bytes"]
    assert found == len(lzma.compress(flat, preset=9 | lzma.PRESET_EXTREME))
    assert lzma.decompress(lzma.compress(flat, preset=9 | lzma.PRESET_EXTREME)) == flat
    wide = {"a": coded.levels(np.array([[1.0, 300.0]]), 1.0)}
    assert sizes(wide)["xz_bytes"] == len(lzma.compress(np.array([1, 300], np.int32).tobytes(), preset=9))


def test_deep_compression_counts_values_and_relative_indices() -> None:
    codes = np.zeros((1, 300), np.float32)
    codes[0, [3, 4, 10, 200]] = [1, -1, 1, 1]
    found = sizes({"a": coded.levels(codes, 1.0)})["deep_compression_bytes"]
    values = len(huffman.encode(np.array([1, 0, 1, 1]), 2))
    gaps = np.array([3, 0, 5, 189])
    fewest = min(len(huffman.encode(indices.with_escapes(gaps, width), 256)) for width in range(1, 9))
    assert values + fewest < found < values + fewest + 20  # and which value each code is
    sparse, dense = tensor(2, (100, 100), kept=0.02), tensor(2, (100, 100), kept=1.0)
    small, large = sizes({"a": sparse}), sizes({"a": dense})
    assert small["order0_bytes"] * 0.9 < small["deep_compression_bytes"] < small["huffman_bytes"]  # a bit a number
    assert large["deep_compression_bytes"] > large["huffman_bytes"]


def test_the_values_that_codes_stand_for_are_counted() -> None:
    near, far = (coded.levels(np.array([values]), 1.0) for values in ([0.0, 1, 2, 3], [0.0, 17, 1_000, 70_000]))
    assert sizes({"a": near})["order0_bytes"] == sizes({"a": far})["order0_bytes"] == 1
    assert sizes({"a": near})["huffman_bytes"] < sizes({"a": far})["huffman_bytes"]


def test_images_are_counted_as_they_are_written() -> None:
    picture = np.tile(np.arange(100, dtype=np.float32), (2, 50, 1))  # rows of rising grey, two equal channels
    found = sizes({"mean": coded.image(picture)})
    differences = np.array([0, *[1] * 99] * 50)
    assert found["order0_bytes"] == round(entropy_bytes(differences))


def test_the_coders_say_nothing_of_weights_in_floats() -> None:
    bias = {"bias": coded.levels(np.array([1.0, 2, 3]), 1.0)}
    assert set(sizes(bias | {"weight": coded.plain(np.ones((3, 4)))}).values()) == {""}
    assert "" not in sizes(bias | {"variance": coded.plain(np.ones(3))}).values()
    assert set(sizes({"a": coded.constant(2.0, (5,))}).values()) == {0} == set(sizes({}).values())


@pytest.mark.parametrize("value", [0.0, 3.0])
def test_tensors_of_one_code_are_counted(value: float) -> None:
    found = sizes({"a": coded.levels(np.full((4, 4), value), 1.0)})
    assert found["order0_bytes"] == 0 and found["huffman_bytes"] > 0
    assert (found["deep_compression_bytes"] == 0) == (value == 0)


def test_parameters_that_are_not_zero_are_counted_without_statistics() -> None:
    network = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([[0.0, 1, -2], [0, 0, 3]]))
        network[0].bias.fill_(0.5)
    assert numbers(network) == {"numbers": 6 + 2 + 4, "nonzero": 3 + 2 + 2}  # of the normalization, scale 1 and shift 0
    parametrize.register_parametrization(network[0], "weight", Halved())
    assert numbers(network) == {"numbers": 12, "nonzero": 2 + 2 + 2}


class Halved(nn.Module):
    """Leaves numbers above 1.5 only."""

    def forward(self, weight: Tensor) -> Tensor:
        return weight * (weight.abs() > 1.5)
