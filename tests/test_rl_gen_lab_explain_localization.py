"""Mass, lift, rank and pointing, on maps whose scores are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.explain.localization import located

ALL = np.arange(1)


def one(value: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    """A map of 10 x 10 with all mass on an object of four pixels."""
    maps, masks = torch.zeros(1, 1, 10, 10), torch.zeros(1, 1, 10, 10, dtype=torch.bool)
    masks[0, 0, 4:6, 4:6] = True
    maps[0, 0, 4:6, 4:6] = value
    return maps, masks


def test_a_map_on_the_object_alone_has_the_inverse_of_its_area_as_lift() -> None:
    found = located(*one(-1.0))  # the sign does not count
    assert found.mass[0] == 1.0 and found.area[0] == 0.04 and found.lift(ALL) == 25.0
    assert found.rank[0] == 1.0 and found.hit[0] == 1.0 and found.near[0] == 1.0


def test_an_even_map_has_a_lift_of_one() -> None:
    _, masks = one()
    assert located(torch.ones(1, 1, 10, 10), masks).lift(ALL) == 1.0


def test_pointing_beside_the_object_counts_within_two_pixels() -> None:
    _, masks = one()
    for distance, near in ((2, 1.0), (3, 0.0)):
        maps = torch.zeros(1, 1, 10, 10)
        maps[0, 0, 4, 5 + distance] = 1.0
        found = located(maps, masks)
        assert found.hit[0] == 0.0 and found.near[0] == near


def test_each_frame_of_a_stack_is_scored_by_its_own_mask() -> None:
    masks = torch.zeros(1, 2, 4, 4, dtype=torch.bool)
    masks[0, 0, 0, 0], masks[0, 1, 3, 3] = True, True
    right, wrong = torch.zeros(1, 2, 4, 4), torch.zeros(1, 2, 4, 4)
    right[0, 0, 0, 0], wrong[0, 1, 0, 0] = 1.0, 1.0
    assert located(right, masks).mass[0] == 1.0 and located(wrong, masks).mass[0] == 0.0


def test_maps_of_other_frames_are_refused() -> None:
    maps, masks = one()
    for wrong in (torch.cat((maps, maps)), maps[..., :9], maps.expand(1, 3, 10, 10)):
        with pytest.raises(ConfigError, match="are not of the frames with masks of"):
            located(wrong, masks)


def test_frames_without_the_object_are_left_out_and_an_empty_map_finds_nothing() -> None:
    maps, masks = one()
    both = located(torch.cat((maps, maps)), torch.cat((masks, torch.zeros_like(masks))))
    assert np.isnan(both.mass[1]) and both.lift(np.arange(2)) == 25.0
    assert np.isnan(both.lift(np.array([1])))  # without a warning
    nothing = located(torch.zeros(1, 1, 10, 10), masks)
    assert nothing.mass[0] == 0.0 and nothing.near[0] == 0.0
