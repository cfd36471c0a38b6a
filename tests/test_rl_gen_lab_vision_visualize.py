"""Figures of predictions: marks at their positions, of every task."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import vision_data

from rl_gen_lab.backbones.config import BackboneConfig
from rl_gen_lab.data.dataset import Split
from rl_gen_lab.vision.box_metrics import Detections
from rl_gen_lab.vision.segmentation.config import SegmentConfig
from rl_gen_lab.vision.segmentation.task import SegmentationTask
from rl_gen_lab.vision.visualize import (
    HEIGHT,
    MAX_WIDTH,
    TINTS,
    Marks,
    _detection_marks,
    draw_comparison,
    draw_marks,
    write,
)

GRAY = torch.full((3, 42, 30), 100, dtype=torch.uint8)


SCALE = round(HEIGHT / 42)


def test_a_box_is_outlined_just_outside_of_what_it_holds_in_the_color_of_its_category() -> None:
    marks = Marks(torch.tensor([[5.0, 20.0, 9.0, 30.0]]), [1], ["0.90"])
    drawn = np.asarray(draw_marks(GRAY, marks))
    assert drawn.shape == (42 * SCALE, 30 * SCALE, 3)
    inside = drawn[20 * SCALE : 30 * SCALE, 5 * SCALE : 9 * SCALE]
    assert (inside == 100).all()
    assert tuple(drawn[25 * SCALE, 5 * SCALE - 2]) == TINTS[1] == tuple(drawn[25 * SCALE, 9 * SCALE + 1])
    assert (drawn[20 * SCALE - 16 : 20 * SCALE - 3] != 100).any(), "its score stands above it"


def test_pixels_of_a_class_and_no_others_are_tinted() -> None:
    classes = torch.zeros(42, 30, dtype=torch.int64)
    classes[10:12, 3:5] = 2
    drawn = np.asarray(draw_marks(GRAY, Marks(torch.zeros(0, 4), (), (), classes)))[::SCALE, ::SCALE]
    assert ((drawn != 100).any(-1) == (classes == 2).numpy()).all()


def test_masks_of_a_detector_become_classes() -> None:
    masks = torch.zeros(2, 42, 30, dtype=torch.bool)
    masks[0, 1, 1] = masks[1, 2, 2] = True
    marks = _detection_marks(Detections(torch.zeros(2, 4), torch.tensor([0, 1]), torch.tensor([0.9, 0.8]), masks))
    assert marks.classes is not None and marks.classes.nonzero().tolist() == [[1, 1], [2, 2]]
    assert marks.classes[1, 1] == 1 and marks.classes[2, 2] == 2 and marks.texts == ["0.90", "0.80"]


def test_words_of_the_whole_picture_stand_above_it() -> None:
    silent, said = (Marks(torch.zeros(0, 4), (), words) for words in ((), ("ball 0.98",)))
    plain, told = (np.asarray(draw_comparison(GRAY, silent, found, ("ball",))) for found in (silent, said))
    assert plain.shape == told.shape and (plain[:20] != told[:20]).any() and (plain[20:] == told[20:]).all()


def test_an_image_of_any_shape_gives_a_picture_of_a_size_that_can_be_drawn() -> None:
    nothing = Marks(torch.zeros(0, 4), (), ())
    for height, width in ((1, 1), (2, 5_000), (3, 3), (1, 40)):
        image = torch.zeros(3, height, width, dtype=torch.uint8)
        panel = draw_marks(image, nothing)
        assert panel.width <= max(MAX_WIDTH, width) and panel.height <= HEIGHT


def test_a_legend_that_does_not_fit_ends_in_an_ellipsis() -> None:
    nothing = Marks(torch.zeros(0, 4), (), ())
    few, many = (
        np.asarray(draw_comparison(GRAY, nothing, nothing, [f"category {i}" for i in range(count)])).astype(int)
        for count in (2, 300)
    )
    assert few.shape == many.shape
    right = (many[-40:] - few[-40:]).any((0, 2)).nonzero()[0]
    assert right.max() < few.shape[1] - 2, "no name is cut in two"


def test_pictures_of_images_with_one_name_or_a_very_long_one_are_kept_apart(tmp_path: Path) -> None:
    split = vision_data.dataset().splits["train"]
    files = (Path("a/1.png"), Path("b/1.png"), Path("\u00e4" * 120 + ".png"), Path("4.png"))
    labels = tuple(replace(label, file=file) for label, file in zip(split.labels, files, strict=False))
    odd = Split("train", split.images[:4], labels)
    assert [odd.name_of(i) for i in range(4)] == ["1_0", "1_1", "\u00e4" * 100 + "_2", "4"]
    choices = BackboneConfig(width=4, stages=2, depth=1, norm="batch")
    task = SegmentationTask(SegmentConfig("unet", choices=choices), vision_data.dataset(), torch.device("cpu"))
    written = write(task, odd, range(4), tmp_path)
    assert len(set(written)) == 4 and all(file.is_file() for file in written)
