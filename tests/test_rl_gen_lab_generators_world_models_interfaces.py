"""A world as it is kept with a run, and frames as pictures."""

from __future__ import annotations

import dot_world
import pytest
import torch

from rl_gen_lab.cli.errors import CheckpointError
from rl_gen_lab.generators.world_models.interfaces import OTHER, painted, world_of


def test_a_world_comes_back_from_its_metadata() -> None:
    world = dot_world.loaded().world
    again = world_of(world.metadata(), "config.json")
    assert again.metadata() == world.metadata() and torch.equal(again.colors, world.colors)


@pytest.mark.parametrize("values", [None, {}, {"size": 3}, {"size": [1, 2], "colors": "red"}])
def test_a_damaged_world_is_refused(values: object) -> None:
    with pytest.raises(CheckpointError, match=r"config\.json is damaged"):
        world_of(values, "config.json")


def test_frames_are_painted_in_their_colors() -> None:
    colors = torch.tensor([[1, 2, 3], [4, 5, 6]], dtype=torch.uint8)
    image = painted(torch.tensor([[[0, 1, 2]]], dtype=torch.uint8), colors)
    assert image.shape == (1, 3, 1, 3) and image[0, :, 0].T.tolist() == [[1, 2, 3], [4, 5, 6], list(OTHER)]
