"""Figures of predictions: marks at their positions, of every task."""

from __future__ import annotations

import numpy as np
import torch

from rl_gen_lab.vision.box_metrics import Detections
from rl_gen_lab.vision.visualize import HEIGHT, TINTS, Marks, _detection_marks, draw_comparison, draw_marks

GREY = torch.full((3, 42, 30), 100, dtype=torch.uint8)


SCALE = round(HEIGHT / 42)


def test_a_box_is_outlined_just_outside_of_what_it_holds_in_the_colour_of_its_category() -> None:
    marks = Marks(torch.tensor([[5.0, 20.0, 9.0, 30.0]]), [1], ["0.90"])
    drawn = np.asarray(draw_marks(GREY, marks))
    assert drawn.shape == (42 * SCALE, 30 * SCALE, 3)
    inside = drawn[20 * SCALE : 30 * SCALE, 5 * SCALE : 9 * SCALE]
    assert (inside == 100).all()
    assert tuple(drawn[25 * SCALE, 5 * SCALE - 2]) == TINTS[1] == tuple(drawn[25 * SCALE, 9 * SCALE + 1])
    assert (drawn[20 * SCALE - 16 : 20 * SCALE - 3] != 100).any(), "its score stands above it"


def test_pixels_of_a_class_and_no_others_are_tinted() -> None:
    classes = torch.zeros(42, 30, dtype=torch.int64)
    classes[10:12, 3:5] = 2
    drawn = np.asarray(draw_marks(GREY, Marks(torch.zeros(0, 4), (), (), classes)))[::SCALE, ::SCALE]
    assert ((drawn != 100).any(-1) == (classes == 2).numpy()).all()


def test_masks_of_a_detector_become_classes() -> None:
    masks = torch.zeros(2, 42, 30, dtype=torch.bool)
    masks[0, 1, 1] = masks[1, 2, 2] = True
    marks = _detection_marks(Detections(torch.zeros(2, 4), torch.tensor([0, 1]), torch.tensor([0.9, 0.8]), masks))
    assert marks.classes is not None and marks.classes.nonzero().tolist() == [[1, 1], [2, 2]]
    assert marks.classes[1, 1] == 1 and marks.classes[2, 2] == 2 and marks.texts == ["0.90", "0.80"]


def test_words_of_the_whole_picture_stand_above_it() -> None:
    silent, said = (Marks(torch.zeros(0, 4), (), words) for words in ((), ("ball 0.98",)))
    plain, told = (np.asarray(draw_comparison(GREY, silent, found, ("ball",))) for found in (silent, said))
    assert plain.shape == told.shape and (plain[:20] != told[:20]).any() and (plain[20:] == told[20:]).all()
