"""The U-Net: sizes of its maps, and that what is given beside them counts."""

from __future__ import annotations

import torch

from rl_gen_lab.generators.world_models import unet


def test_maps_shrink_and_grow_back() -> None:
    x = torch.randn(2, 4, 16, 8)
    maps = unet.Down(4)(x)
    assert [tuple(m.shape[1:]) for m in maps] == [(4, 16, 8), (8, 8, 4), (12, 4, 2), (16, 2, 1)]
    one, other = unet.Up(4, 3, (6, 2))(maps, torch.randn(2, 3))
    assert one.shape == (2, 6, 16, 8) and other.shape == (2, 2, 16, 8)


def test_the_vector_changes_the_outputs() -> None:
    torch.manual_seed(0)
    maps, up = unet.Down(4)(torch.randn(1, 4, 8, 8)), unet.Up(4, 3, (6,))
    assert not torch.allclose(up(maps, torch.zeros(1, 3))[0], up(maps, torch.ones(1, 3))[0])
