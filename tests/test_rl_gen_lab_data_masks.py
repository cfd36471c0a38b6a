"""Masks: encodings, and objects without one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from coco_folders import coco_folder

from rl_gen_lab.data import dataset as data
from rl_gen_lab.data import masks
from rl_gen_lab.data.coco import DataError


def _first(key: str, **values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda labels: labels[key][0].update(values)


def test_an_object_without_a_mask_is_named_when_masks_are_asked_for(tmp_path: Path) -> None:
    own = data.load(coco_folder(tmp_path / "own", change=_first("annotations", segmentation=None)))
    own.splits["train"].masks(1)
    with pytest.raises(DataError, match=r"0\.png: annotation 0 has no mask"):
        own.splits["train"].masks(0)


def test_run_lengths_as_text_are_those_as_numbers() -> None:
    # By hand: 3 -> "3"; 40 = 1*32 + 8 -> 8 | more, 1 -> "X1"; 2 -> "2"; 38 as difference to 40: -2 -> "N".
    assert masks.run_lengths_from_text("3X12N") == [3, 40, 2, 38]
    with pytest.raises(ValueError, match="run lengths hold"):
        masks.run_lengths_from_text("3\x7f")
