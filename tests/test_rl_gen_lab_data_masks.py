"""Masks: encodings, and objects without one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from coco_folders import coco_folder
from faster_coco_eval.core import mask as coco_masks

from rl_gen_lab.data import dataset as data
from rl_gen_lab.data import masks
from rl_gen_lab.data.records import DataError

H, W = 30, 34


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
    with pytest.raises(ValueError, match="were cut short"):
        masks.run_lengths_from_text("3X")
    with pytest.raises(ValueError, match="run lengths hold 'o'"):
        masks.run_lengths_from_text("o" * 1_000_000)  # one length of five million bits


def of_their_tools(polygons: list[list[float]]) -> np.ndarray:
    parts = coco_masks.frPyObjects(polygons, H, W)
    mask: np.ndarray = coco_masks.decode(coco_masks.merge(parts)).astype(bool)
    return mask


def test_a_polygon_covers_the_pixels_that_coco_s_own_tools_say() -> None:
    assert masks.decode([[10, 10, 18, 10, 18, 20, 10, 20]], 30, 30).sum() == 80
    small = masks.decode([[1, 2, 3, 2, 3, 4, 1, 4]], 6, 8)
    assert np.argwhere(small).tolist() == [[2, 1], [2, 2], [3, 1], [3, 2]], "of 2 x 2 pixels, not of 3 x 3"


@pytest.mark.parametrize("kind", ["convex", "star", "tiny", "crossing", "outside", "whole", "parts"])
def test_random_polygons_are_those_of_coco_s_own_tools(kind: str) -> None:
    rng = np.random.default_rng(sum(map(ord, kind)))
    covered = 0
    for _ in range(40):
        points = int(rng.integers(3, 12))
        angles = np.sort(rng.uniform(0, 2 * np.pi, points))
        radius = {"star": rng.uniform(2, 15, points), "tiny": 0.6, "outside": 40.0}.get(kind, 12.0)
        center = rng.uniform(5, 25, 2) if kind != "outside" else rng.uniform(-20, 50, 2)
        corners = np.stack((np.cos(angles), np.sin(angles)), 1) * np.reshape(radius, (-1, 1)) + center
        if kind == "crossing":
            corners = rng.permutation(corners)
        if kind == "whole":
            corners = corners.round()
        polygons = [corners.ravel().tolist()] + [(corners / 2).ravel().tolist()] * (kind == "parts")
        expected = of_their_tools(polygons)
        assert (masks.decode(polygons, H, W) == expected).all()
        covered += int(expected.sum())
    assert covered


def test_run_lengths_are_decoded_as_coco_s_own_tools_do() -> None:
    rng = np.random.default_rng(5)
    for share in (0.02, 0.5, 0.98):
        mask = rng.random((H, W)) < share
        text = coco_masks.encode(np.asfortranarray(mask, dtype=np.uint8))["counts"].decode()
        counts = masks.run_lengths_from_text(text)
        for encoded in (text, counts):
            assert (masks.decode({"size": [H, W], "counts": encoded}, H, W) == mask).all()


@pytest.mark.parametrize(
    ("polygons", "message"),
    [
        ([[1, 2, 5, 2, 5, 1e400]], "inf in a polygon is not a number, or too large for one"),
        ([[1, 2, 5, 2, 5, 10**400]], r"10+\.\.\.0+ in a polygon is not a number, or too large for one"),
        ([[1, 2, 5, 2, 5, 10**30]], "a polygon reaches farther than 2,000,000 pixels"),
        ([[1, 2, 5, 2, 5, True]], "True in a polygon is not a number"),
        ([[1, 2, 5, 2, 5, None]], "None in a polygon is not a number"),
        ([10 * [0, 0, 1e6, 0, 0, 1]], "a polygon reaches farther than"),
        ([1, 2, 5, 2, 5, 6], "holds 1 instead of a polygon"),
        (["1, 2, 5, 2, 5, 6"], "holds '1, 2, 5, 2, 5, 6' instead of a polygon"),
        ([[1, 2, 5, 2, 5, 6, 7]], "a polygon has fewer than three points, or a point of one number"),
        ({"size": [H, W], "counts": [True, H * W - 1]}, "neither text nor a list of whole numbers"),
        ({"size": [H, W], "counts": [10**30]}, "its run lengths do not fill 30 x 34 pixels"),
    ],
)
def test_masks_that_no_tool_could_mean_are_refused_at_once(polygons: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        masks.decode(polygons, H, W)


def test_masks_of_large_images_are_not_kept_in_memory() -> None:
    kept = masks._from_text.cache_info().currsize
    counts = coco_masks.encode(np.asfortranarray(np.ones((400, 400), np.uint8)))["counts"].decode()
    assert masks.decode({"size": [400, 400], "counts": counts}, 400, 400).all()
    assert masks._from_text.cache_info().currsize == kept


def test_an_empty_list_or_an_empty_polygon_is_no_mask(tmp_path: Path) -> None:
    for name, written in (("none", []), ("empty", [[]])):
        own = data.load(coco_folder(tmp_path / name, change=_first("annotations", segmentation=written)))
        assert own.splits["train"].labels[0].objects[0].segmentation is None
