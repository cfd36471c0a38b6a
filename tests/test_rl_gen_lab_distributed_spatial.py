"""Rows of images in two processes: loss and gradients are those of the whole image."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import vision_data
from several_processes import TESTS, torchrun
from vision_runs import config

from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.distributed.spatial import bounds_of


def test_borders_lie_at_multiples_but_for_the_last() -> None:
    assert bounds_of(210, 2, 8) == [0, 104, 210] and bounds_of(32, 4, 8) == [0, 8, 16, 24, 32]
    assert bounds_of(37, 1, 8) == [0, 37]
    with pytest.raises(ConfigError, match=r"of 23 rows cannot be dealt to 3 processes in multiples of 8 .* at most 2"):
        bounds_of(23, 3, 8)


def test_loss_and_gradients_are_those_of_the_whole_image(tmp_path: Path) -> None:
    torchrun(str(TESTS / "rank_rows.py"), str(tmp_path))
    for rank in range(2):
        said = json.loads((tmp_path / f"rows{rank}.json").read_text())
        assert len(said["found"]) == 4
        assert all(numbers["loss"] < 1e-12 and numbers["gradient"] < 1e-12 for numbers in said["found"].values())
        pooling, too_small = said["refused"]
        assert "AvgPool2d) cannot be computed by rows" in pooling and "use at most 1" in too_small


def test_it_is_for_segmentation_by_a_unet(tmp_path: Path) -> None:
    assert config(tmp_path, parallel="spatial").parallel == "spatial"
    for changes in ({"task": "classify"}, {"fsdp": True}):
        with pytest.raises(ConfigError, match="--parallel spatial is for segment"):
            config(tmp_path, parallel="spatial", data=vision_data.folder(), **changes)
