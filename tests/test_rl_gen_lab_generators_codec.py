"""The codec: bit for bit through a file, as long as the bound says, and damaged files refused in one line."""

from __future__ import annotations

import math

import generator_models
import numpy as np
import pytest
import torch
import vision_data

from rl_gen_lab.cli.errors import ConfigError, UserError
from rl_gen_lab.data.records import DataError
from rl_gen_lab.generators import codec
from rl_gen_lab.generators.bounds import BITS
from rl_gen_lab.generators.pixel_coding import PRECISION

DIGEST = "0123456789ab"


def codec_of(**changes: object) -> codec.FrameCodec:
    task = generator_models.task_of(**changes)
    task.network.eval()
    return codec.FrameCodec(task.model, DIGEST, task.size)


def train_images(count: int) -> torch.Tensor:
    return vision_data.dataset().splits["train"].images[:count]


@pytest.mark.parametrize("model", ["vae", "vq-vae", "factorised"])
@pytest.mark.parametrize("count", [0, 1, 2, 16])
def test_images_come_back_bit_for_bit(model: str, count: int) -> None:
    coder, images = codec_of(model=model), train_images(count)
    data = coder.encode(images)
    assert torch.equal(coder.decode(data), images)


@pytest.mark.parametrize("model", ["vae", "vq-vae", "factorised"])
def test_a_file_is_as_long_as_the_bound(model: str) -> None:
    task = generator_models.task_of(model=model)
    if model != "factorised":
        vision_data.learn_by_heart(task, 30, 5e-3)
    task.network.eval()
    images = train_images(16).repeat(6, 1, 1, 1)
    with torch.no_grad():
        bounds = [task.model.bound(images, torch.Generator().manual_seed(seed)) for seed in range(8)]
    bits = BITS * sum(float((b.code_length - b.log_likelihood).sum()) for b in bounds) / 8
    data = codec.FrameCodec(task.model, DIGEST, task.size).encode(images)
    assert 8 * (len(data) - codec.HEADER.size) == pytest.approx(bits, rel=0.02, abs=250)


def test_intervals_of_a_posterior_fill_the_whole_and_are_as_wide_as_likely() -> None:
    edges = codec_of().edges
    for mean, spread in ((0.0, 1.0), (2.5, 0.01), (-7.0, 0.003), (0.3, 30.0)):
        find = codec.PosteriorFinder(edges, mean, spread)
        assert find.edge(0) == 0 and find.edge(len(edges) - 1) == 1 << PRECISION
        widths = [find.edge(i + 1) - find.edge(i) for i in range(len(edges) - 1)]
        assert min(widths) >= 1
        for place in (0, 12_345, 1 << 31, (1 << 32) - 1):
            number, start, width = find(place)
            assert start <= place < start + width and width == widths[number]
        law = torch.distributions.Normal(mean, spread)
        middle = find.nearest()
        share = float(law.cdf(torch.tensor(edges[middle + 1])) - law.cdf(torch.tensor(edges[middle])))
        if math.isfinite(edges[middle]) and math.isfinite(edges[middle + 1]):
            assert widths[middle] / 2**32 == pytest.approx(share, rel=0.05, abs=2e-6)


@pytest.mark.parametrize("model", ["vae", "vq-vae", "factorised"])
def test_damaged_files_are_refused_in_one_line(model: str) -> None:
    coder = codec_of(model=model)
    data = coder.encode(train_images(3))
    rng = np.random.default_rng(0)
    damaged = [data[:size] for size in rng.integers(0, len(data), 12)]
    for _ in range(12):
        flipped = bytearray(data)
        flipped[int(rng.integers(codec.HEADER.size - 4, len(data)))] ^= 1 << int(rng.integers(8))
        damaged.append(bytes(flipped))
    for content in damaged:
        with pytest.raises(UserError) as error:
            coder.decode(content)
        assert "\n" not in str(error.value)
    for content, message in (
        (b"\x89PNG\r\n" + bytes(40), "no file of encoded images"),
        (data[:4] + b"\x02" + data[5:], "another version"),
        (data[:5] + bytes(6) + data[11:], "another run"),
        (data[:11] + b"\xff\xff\xff\xff" + data[15:], "cannot be decoded"),
    ):
        with pytest.raises(DataError, match=message):
            coder.decode(content)


def test_what_cannot_be_coded_is_refused() -> None:
    with pytest.raises(ConfigError, match="likelihood palette"):
        codec_of(likelihood="gaussian")
    with pytest.raises(ConfigError, match="no distribution over codes"):
        codec_of(model="autoencoder")


@pytest.mark.parametrize("model", ["vae", "vq-vae", "factorised"])
def test_colors_that_no_training_image_had_come_back(model: str) -> None:
    coder, images = codec_of(model=model), train_images(4).clone()
    images[1, :, 5, 5] = torch.tensor([77, 0, 255], dtype=torch.uint8)
    images[3] = torch.randint(256, images[3].shape, generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    assert torch.equal(coder.decode(coder.encode(images)), images)
