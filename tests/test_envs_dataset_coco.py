"""COCO annotations against another library."""

from __future__ import annotations

import contextlib
import io

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from envs.dataset import coco
from envs.ground_truth.objects import Object

with contextlib.redirect_stdout(io.StringIO()):
    from faster_coco_eval import mask as their_masks


@settings(max_examples=60)
@given(arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 9))), st.integers(0, 3), st.integers(0, 3))
def test_run_lengths_are_those_of_another_library(mask: np.ndarray, x: int, y: int) -> None:
    if not mask.any():
        return
    mask_in_image = np.zeros((15, 12), np.uint8)
    mask_in_image[y : y + mask.shape[0], x : x + mask.shape[1]] = mask
    text = coco.encode((x, y, mask.shape[1], mask.shape[0]), mask, (15, 12))
    theirs = their_masks.encode(np.asfortranarray(mask_in_image))["counts"]
    assert text == (theirs.decode() if isinstance(theirs, bytes) else theirs)
    np.testing.assert_array_equal(coco.decode(text, (15, 12)), mask_in_image.astype(bool))


def test_a_record_counts_categories_from_one() -> None:
    thing = Object("ball", (2, 3, 2, 1), np.array([[True, True]]))
    record = coco.annotation(7, 5, 1, thing, (10, 8))
    assert record["bbox"] == [2, 3, 2, 1] and record["area"] == 2 and record["segmentation"]["size"] == [10, 8]
