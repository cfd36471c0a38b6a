"""Encoders: their sizes and seeds, borders that mirror, filters that are patches, layers of trained networks."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from rl_gen_lab.backbones.convolutional import ScaledConv2d
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.explain.synthesis import encoders


def random(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


def test_sizes_of_maps_and_seeds() -> None:
    picture = random(1, 3, 20, 24)
    (maps,) = encoders.one_layer(0, sizes=(3, 7), filters=5)(picture)
    assert maps.shape == (1, 10, 20, 24) and maps.min() == 0
    assert torch.equal(maps, encoders.one_layer(0, sizes=(3, 7), filters=5)(picture)[0])
    assert not torch.equal(maps, encoders.one_layer(1, sizes=(3, 7), filters=5)(picture)[0])
    assert [tuple(m.shape[1:]) for m in encoders.deep(0, (4, 6, 8))(picture)] == [(4, 20, 24), (6, 20, 24), (8, 10, 12)]


def test_borders_mirror_as_far_as_the_picture_reaches() -> None:
    row = torch.arange(3.0).reshape(1, 1, 1, 3)
    assert encoders.padded(row.expand(1, 1, 3, 3), 2)[0, 0, 2].tolist() == [2, 1, 0, 1, 2, 1, 0]
    assert encoders.padded(row.expand(1, 1, 3, 3), 3).shape == (1, 1, 9, 9)


def test_filters_of_patches_answer_to_their_own_patch() -> None:
    bar = torch.zeros(1, 1, 32, 32)
    bar[..., ::8] = 1  # bars of one pixel, eight apart: patches of 5 pixels show a bar in one of 5 places, or none
    encoder = encoders.patch_means(0, bar, side=5, means=6)
    maps = encoder(bar)[0][:, encoders.FILTERS :]
    assert maps.shape[1] == 12
    assert (maps.amax((2, 3))[0, :6] > 0.8).sum() == 5  # the norm of a bar less its mean is sqrt(5 * 4 / 5) = 2


def test_standardized_pictures_have_mean_0_and_spread_1() -> None:
    seen: list[torch.Tensor] = []
    picture = 0.5 + 0.1 * random(1, 3, 8, 8)
    encoders.standardized(lambda x: seen.append(x) or [x], picture)(picture)
    assert seen[0].mean((2, 3)).abs().max() < 1e-5 and seen[0].std() == pytest.approx(1, abs=0.05)


class Task:
    """A vision model whose first layer subtracts a mean frame of one size."""

    def __init__(self) -> None:
        first = ScaledConv2d((3, 8, 8), 4, 3, padding=1)
        first.standardize(torch.randint(0, 256, (5, 3, 8, 8), dtype=torch.uint8))
        self.network = nn.Sequential(first, nn.ReLU(inplace=True), nn.Conv2d(4, 2, 3))


def test_layers_of_a_trained_network_are_seen_before_their_relu_at_any_size() -> None:
    task = Task()
    first, second = encoders.of_task(task)(random(1, 3, 12, 10) - 0.5)
    assert first.shape == (1, 4, 12, 10) and first.min() < 0 and second.shape == (1, 2, 10, 8)
    assert task.network[0].mean.shape == (3, 8, 8)  # type: ignore[union-attr]
    with pytest.raises(ConfigError, match="no convolution '1' in this network; there are 0, 2"):
        encoders.of_task(task, ("1",))
