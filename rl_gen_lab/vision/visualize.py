"""Figures of a vision model's predictions, beside the truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from rl_gen_lab.data.dataset import Split
from rl_gen_lab.vision.box_metrics import Detections
from rl_gen_lab.vision.colors import BACKGROUND, INK
from rl_gen_lab.vision.detection.one_stage import OneStageTask
from rl_gen_lab.vision.detection.two_stage import TwoStageTask
from rl_gen_lab.vision.recognition.task import RecognitionTask
from rl_gen_lab.vision.segmentation.task import SegmentationTask

DrawableTask = OneStageTask | TwoStageTask | SegmentationTask | RecognitionTask
TINTS = ((255, 60, 200), (0, 230, 255), (255, 220, 0), (120, 255, 90), (255, 130, 60), (170, 130, 255))
HEIGHT, LINE, MARGIN = 420, 17, 6  # pixels: of an image, about (enlarged by whole numbers), of a text line, around
MAX_WIDTH = 2_000  # pixels of an enlarged image
MAX_SCORES = 20  # boxes of an image up to which their scores are written: more would hide the objects
OPACITY = 0.6  # of the color of a class over its pixels


@dataclass(frozen=True)
class Marks:
    """Marks to draw over an image. boxes: (M, 4) [px]; categories: M; classes: (H, W) int64, 0 is background.

    texts: one for each box; any other number of texts is of the image as a whole.
    """

    boxes: Tensor
    categories: Sequence[int]
    texts: Sequence[str]
    classes: Tensor | None = None


def predicted_marks(task: DrawableTask, images: Tensor) -> list[Marks]:
    """Return the predictions for images (B, C, H, W) uint8: boxes above the score threshold, masks, pixel classes."""
    if isinstance(task, SegmentationTask):
        return [Marks(torch.zeros(0, 4), (), (), classes) for classes in task.predict(images)]
    if isinstance(task, RecognitionTask):
        scores, boxes = task.predict(images)
        return [_recognition_marks(task, score, box) for score, box in zip(scores, boxes, strict=True)]
    return [_detection_marks(detections.above(task.config.score)) for detections in task.predict(images)]


def _recognition_marks(task: RecognitionTask, scores: Tensor, box: Tensor) -> Marks:
    texts = [f"{name} {score:.2f}" for name, score in zip(task.categories, scores.tolist(), strict=True)]
    if task.object is None or scores[task.object] < 0.5:
        return Marks(torch.zeros(0, 4), (), texts)
    return Marks(box[None], (task.object,), texts)


def _detection_marks(detections: Detections) -> Marks:
    classes = None
    if detections.masks is not None:
        classes = torch.zeros(detections.masks.shape[1:], dtype=torch.int64)
        for mask, category in zip(detections.masks, detections.classes.tolist(), strict=True):
            classes[mask] = 1 + category
    scores = [f"{score:.2f}" for score in detections.scores.tolist()] if len(detections.boxes) <= MAX_SCORES else []
    return Marks(detections.boxes, detections.classes.tolist(), scores, classes)


def true_marks(task: DrawableTask, split: Split, index: int) -> Marks:
    """Return the truth of an image, as far as the task predicts it."""
    boxes, categories = split.boxes(index)
    if isinstance(task, SegmentationTask):
        return Marks(torch.zeros(0, 4), (), (), split.semantic(index))
    if isinstance(task, RecognitionTask):
        localized = categories == (-1 if task.object is None else task.object)
        present = [name for category, name in enumerate(task.categories) if category in categories]
        return Marks(boxes[localized], categories[localized].tolist(), present)
    has_masks = isinstance(task, TwoStageTask) and task.config.model == "mask-rcnn"
    return Marks(boxes, categories.tolist(), ["" for _ in categories], split.semantic(index) if has_masks else None)


def draw_marks(image: Tensor, marks: Marks) -> Image.Image:
    """Enlarge an image (3, H, W) uint8, tint its classes and outline its boxes, just outside of the objects."""
    pixels = np.ascontiguousarray(image.permute(1, 2, 0).numpy())
    if marks.classes is not None:
        for class_ in marks.classes.unique().tolist():
            if class_:
                mask = (marks.classes == class_).numpy()
                tint = OPACITY * np.array(TINTS[(class_ - 1) % len(TINTS)])
                pixels[mask] = ((1 - OPACITY) * pixels[mask] + tint).astype(np.uint8)
    scale = max(1, min(round(HEIGHT / pixels.shape[0]), MAX_WIDTH // pixels.shape[1]))
    panel = Image.fromarray(pixels.repeat(scale, 0).repeat(scale, 1))
    drawing, font = ImageDraw.Draw(panel), ImageFont.load_default(11)
    texts = marks.texts if len(marks.texts) == len(marks.categories) else ["" for _ in marks.categories]
    for box, category, text in zip((scale * marks.boxes).tolist(), marks.categories, texts, strict=True):
        x1, y1, x2, y2 = box
        color = TINTS[category % len(TINTS)]
        drawing.rectangle((x1 - 2, y1 - 2, x2 + 1, y2 + 1), outline=color)
        drawing.text((min(x1, panel.width - 26), y1 - 15 if y1 > 16 else y2 + 2), text, color, font)
    return panel


def draw_comparison(image: Tensor, true: Marks, predicted: Marks, categories: Sequence[str]) -> Image.Image:
    """Draw the truth on the left, the prediction on the right, and a legend of the categories' colors."""
    panels = [draw_marks(image, marks) for marks in (true, predicted)]
    width, height = panels[0].size
    canvas = Image.new("RGB", (2 * width + 3 * MARGIN, height + 3 * LINE + 2 * MARGIN), BACKGROUND)
    drawing, font = ImageDraw.Draw(canvas), ImageFont.load_default(13)
    for i, (name, panel, marks) in enumerate(zip(("true", "predicted"), panels, (true, predicted), strict=True)):
        x = MARGIN + i * (width + MARGIN)
        texts = marks.texts if len(marks.texts) != len(marks.categories) or not marks.categories else ()
        drawing.text((x, MARGIN // 2), f"{name}{': ' * bool(texts)}{', '.join(texts)}", INK, font)
        canvas.paste(panel, (x, MARGIN + LINE))
    x = MARGIN
    for category, name in enumerate(categories):
        end = x + int(drawing.textlength(name, font)) + 14
        is_cut = category > 0 and end > canvas.width
        color = INK if is_cut else TINTS[category % len(TINTS)]
        drawing.text((x, height + LINE + 2 * MARGIN), "..." if is_cut else name, color, font)
        if is_cut:
            break
        x = end
    return canvas


def write(task: DrawableTask, split: Split, indices: Sequence[int], folder: Path) -> list[Path]:
    """Write `draw_comparison` of these images of a split as PNG files."""
    folder.mkdir(parents=True, exist_ok=True)
    task.network.eval()
    with torch.no_grad():
        predictions = predicted_marks(task, split.images[list(indices)])
    files = []
    for index, marks in zip(indices, predictions, strict=True):
        files.append(folder / f"predictions_{split.name}_{split.name_of(index)}.png")
        draw_comparison(split.images[index], true_marks(task, split, index), marks, task.categories).save(files[-1])
    return files
