"""What a vision model finds in pictures, drawn beside what is there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from rl_gen_lab.data.dataset import Split
from rl_gen_lab.vision.captioning.attention_map import BACKGROUND, INK
from rl_gen_lab.vision.detection.metrics import Found
from rl_gen_lab.vision.detection.one_stage import Detect
from rl_gen_lab.vision.detection.two_stage import TwoStage
from rl_gen_lab.vision.recognition import Recognise
from rl_gen_lab.vision.segmentation import Segment

Finder = Detect | TwoStage | Segment | Recognise  # tasks whose findings can be drawn
TINTS = ((255, 60, 200), (0, 230, 255), (255, 220, 0), (120, 255, 90), (255, 130, 60), (170, 130, 255))
HEIGHT, LINE, MARGIN = 420, 17, 6  # of a picture, about: they are enlarged by whole numbers; of a line of text; around
LEGIBLE = 20  # boxes of a picture with their scores written at them, at most: more hide what they are about
COVER = 0.6  # how much of a pixel's colour its class takes away


@dataclass(frozen=True)
class Marks:
    """What to draw into a picture.

    boxes: (M, 4) [px], with the category of each and what to write at it; classes: (H, W) int64, 0 is background. Words
    that are not one for each box are of the whole picture.
    """

    boxes: Tensor
    kinds: Sequence[int]
    words: Sequence[str]
    classes: Tensor | None = None


def find(task: Finder, images: Tensor) -> list[Marks]:
    """What the model reports of images (B, C, H, W) uint8: boxes that are sure enough, masks, classes of pixels."""
    if isinstance(task, Segment):
        return [Marks(torch.zeros(0, 4), (), (), classes) for classes in task.predict(images)]
    if isinstance(task, Recognise):
        scores, boxes = task.predict(images)
        return [_recognised(task, score, box) for score, box in zip(scores, boxes, strict=True)]
    return [_detected(one.above(task.config.score)) for one in task.predict(images)]


def _recognised(task: Recognise, scores: Tensor, box: Tensor) -> Marks:
    said = [f"{name} {score:.2f}" for name, score in zip(task.categories, scores.tolist(), strict=True)]
    if task.object is None or scores[task.object] < 0.5:
        return Marks(torch.zeros(0, 4), (), said)
    return Marks(box[None], (task.object,), said)


def _detected(found: Found) -> Marks:
    classes = None
    if found.masks is not None:
        classes = torch.zeros(found.masks.shape[1:], dtype=torch.int64)
        for mask, kind in zip(found.masks, found.classes.tolist(), strict=True):
            classes[mask] = 1 + kind
    scores = [f"{score:.2f}" for score in found.scores.tolist()] if len(found.boxes) <= LEGIBLE else []
    return Marks(found.boxes, found.classes.tolist(), scores, classes)


def truth(task: Finder, split: Split, index: int) -> Marks:
    """What is there, as far as the task is about it."""
    boxes, kinds = split.boxes(index)
    if isinstance(task, Segment):
        return Marks(torch.zeros(0, 4), (), (), split.semantic(index))
    if isinstance(task, Recognise):
        mine = kinds == (-1 if task.object is None else task.object)
        there = [name for kind, name in enumerate(task.categories) if kind in kinds]
        return Marks(boxes[mine], kinds[mine].tolist(), there)
    masks = isinstance(task, TwoStage) and task.config.model == "mask-rcnn"
    return Marks(boxes, kinds.tolist(), ["" for _ in kinds], split.semantic(index) if masks else None)


def panel(image: Tensor, marks: Marks) -> Image.Image:
    """A picture (3, H, W) uint8, enlarged: classes tinted, boxes outlined just outside of what they hold."""
    pixels = np.ascontiguousarray(image.permute(1, 2, 0).numpy())
    if marks.classes is not None:
        for kind in marks.classes.unique().tolist():
            if kind:
                here = (marks.classes == kind).numpy()
                cover = COVER * np.array(TINTS[(kind - 1) % len(TINTS)])
                pixels[here] = ((1 - COVER) * pixels[here] + cover).astype(np.uint8)
    scale = max(1, round(HEIGHT / pixels.shape[0]))
    drawn = Image.fromarray(pixels.repeat(scale, 0).repeat(scale, 1))
    pen, font = ImageDraw.Draw(drawn), ImageFont.load_default(11)
    each = marks.words if len(marks.words) == len(marks.kinds) else ["" for _ in marks.kinds]
    for box, kind, word in zip((scale * marks.boxes).tolist(), marks.kinds, each, strict=True):
        x1, y1, x2, y2 = box
        tint = TINTS[kind % len(TINTS)]
        pen.rectangle((x1 - 2, y1 - 2, x2 + 1, y2 + 1), outline=tint)
        pen.text((min(x1, drawn.width - 26), y1 - 15 if y1 > 16 else y2 + 2), word, tint, font)
    return drawn


def beside(image: Tensor, true: Marks, found: Marks, categories: Sequence[str]) -> Image.Image:
    """What is there on the left, what was found on the right, and which colour is which category."""
    panels = [panel(image, marks) for marks in (true, found)]
    width, height = panels[0].size
    canvas = Image.new("RGB", (2 * width + 3 * MARGIN, height + 3 * LINE + 2 * MARGIN), BACKGROUND)
    pen, font = ImageDraw.Draw(canvas), ImageFont.load_default(13)
    for i, (name, drawn, marks) in enumerate(zip(("true", "found"), panels, (true, found), strict=True)):
        x = MARGIN + i * (width + MARGIN)
        beyond = marks.words if len(marks.words) != len(marks.kinds) or not marks.kinds else ()
        pen.text((x, MARGIN // 2), f"{name}{': ' * bool(beyond)}{', '.join(beyond)}", INK, font)
        canvas.paste(drawn, (x, MARGIN + LINE))
    x = MARGIN
    for kind, name in enumerate(categories):
        pen.text((x, height + LINE + 2 * MARGIN), name, TINTS[kind % len(TINTS)], font)
        x += int(pen.textlength(name, font)) + 14
    return canvas


def write(task: Finder, split: Split, indices: Sequence[int], folder: Path) -> list[Path]:
    """`beside` for these images of a split, as PNG files."""
    folder.mkdir(parents=True, exist_ok=True)
    task.network.eval()
    with torch.no_grad():
        found = find(task, split.images[list(indices)])
    files = []
    for index, marks in zip(indices, found, strict=True):
        files.append(folder / f"found_{split.name}_{split.labels[index].file.stem}.png")
        beside(split.images[index], truth(task, split, index), marks, task.categories).save(files[-1])
    return files
