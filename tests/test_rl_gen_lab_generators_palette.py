"""The palette: colors as numbers and back, colors it does not have, the nearest color."""

from __future__ import annotations

import pytest
import torch

from rl_gen_lab.data.records import DataError
from rl_gen_lab.generators.palette import MAX_COLORS, Palette, colors_of

COLORS = torch.tensor([[236, 236, 236], [144, 72, 17], [92, 186, 92]], dtype=torch.uint8)


def image_of(numbers: torch.Tensor) -> torch.Tensor:
    return COLORS[numbers].permute(0, 3, 1, 2)


def test_colors_become_numbers_and_numbers_the_same_colors() -> None:
    images = image_of(torch.randint(3, (4, 6, 5), generator=torch.Generator().manual_seed(0)))
    palette = Palette(colors_of(images))
    numbers = palette.index(images)
    assert len(palette) == 3 and set(numbers.unique().tolist()) == {0, 1, 2}
    assert torch.equal(palette.paint(numbers), images)
    assert sorted(palette.colors.tolist()) == sorted(COLORS.tolist())


def test_another_color_has_the_last_number_also_beyond_the_largest() -> None:
    palette = Palette(COLORS)
    others = torch.tensor([[0, 0, 0], [255, 255, 255], [144, 72, 18]], dtype=torch.uint8).T[None, :, :, None]
    assert palette.index(others).flatten().tolist() == [3, 3, 3]
    assert palette.paint(torch.tensor([[[3]]])).flatten().tolist() == [255, 0, 255]


def test_the_nearest_color_is_that_of_the_smallest_squared_distance() -> None:
    images = torch.randint(256, (2, 3, 7, 9), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    palette = Palette(COLORS)
    distances = (images[:, None].int() - palette.colors[None, :, :, None, None].int()).square().sum(2)
    assert torch.equal(palette.nearest(images), palette.paint(distances.argmin(1)))


def test_too_many_colors_are_refused_with_what_to_use_instead() -> None:
    images = torch.arange(MAX_COLORS + 1, dtype=torch.uint8).expand(1, 3, 1, -1)
    colors = colors_of(images)
    assert len(colors) == MAX_COLORS + 1
    with pytest.raises(DataError, match=r"at most 64: use --generate\.likelihood logistic"):
        Palette(colors)
