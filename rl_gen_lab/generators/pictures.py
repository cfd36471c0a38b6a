"""Figures of a generator: reconstructions beside the truth, samples, interpolations and traversals of the code."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from rl_gen_lab.data.dataset import Split
from rl_gen_lab.training.task import Task

BACKGROUND, INK = (24, 24, 27), (228, 228, 231)
MARGIN, LINE = 4, 16  # pixels around images, and of a line of text
MAX_WIDTH, MAP_SIDE = 2_400, 360  # pixels of a figure, and of a map of codes


def draw_grid(rows: Sequence[Sequence[Tensor]], labels: Sequence[str]) -> Image.Image:
    """Draw rows of images (3, H, W) uint8, all of one size; labels: one for each row."""
    height, width = rows[0][0].shape[1:]
    scale = max(1, min(2, MAX_WIDTH // (len(rows[0]) * (width + MARGIN))))
    height, width = scale * height, scale * width
    count = max(map(len, rows))
    canvas = Image.new(
        "RGB",
        (MARGIN + count * (width + MARGIN), len(rows) * (height + LINE + MARGIN) + MARGIN),
        BACKGROUND,
    )
    drawing, font = ImageDraw.Draw(canvas), ImageFont.load_default(12)
    y = 0
    for row, label in zip(rows, labels, strict=True):
        drawing.text((MARGIN, y), label, INK, font)
        for column, image in enumerate(row):
            pixels = np.ascontiguousarray(image.permute(1, 2, 0).numpy()).repeat(scale, 0).repeat(scale, 1)
            canvas.paste(Image.fromarray(pixels), (MARGIN + column * (width + MARGIN), y + LINE))
        y += height + LINE + MARGIN
    return canvas


def differences(images: Tensor, others: Tensor) -> Tensor:
    """Return the pixels that differ in white on black, (B, 3, H, W) uint8."""
    return 255 * (images != others).any(1, keepdim=True).expand_as(images).to(torch.uint8)


def write_reconstructions(task: Task, split: Split, indices: Sequence[int], file: Path) -> Path:
    """Write a figure of images, of what is left of them after coding and decoding, and of the pixels that differ."""
    images = split.images[list(indices)]
    task.network.eval()
    with torch.no_grad():
        drawn = task.predict(images)
    wrong = (images != drawn).any(1).sum((1, 2)).tolist()
    rows = [list(images), list(drawn), list(differences(images, drawn))]
    file.parent.mkdir(parents=True, exist_ok=True)
    labels = ("image", "from its code", f"pixels that differ: {', '.join(f'{number:,}' for number in wrong)}")
    draw_grid(rows, labels).save(file)
    return file


def draw_map(places: Tensor, truth: dict[str, Tensor]) -> Image.Image:
    """Draw codes in a plane, once for each factor, colored by its value from blue to red; gray: it has none.

    places: (N, 2); truth: factors as of `latent_space.factors`.
    """
    panels = []
    for name, values in truth.items():
        panel = Image.new("RGB", (MAP_SIDE, MAP_SIDE + LINE), BACKGROUND)
        drawing = ImageDraw.Draw(panel)
        known = values[values.isfinite()]
        low, high = float(known.min()), float(known.max())
        drawing.text((MARGIN, 0), f"{name}: {low:g} (blue) to {high:g} (red)", INK, ImageFont.load_default(12))
        for (x, y), value in zip(places.clamp(-3, 3).tolist(), values.tolist(), strict=True):
            column, row = (MAP_SIDE * (n + 3.1) / 6.2 for n in (x, y))
            share = (value - low) / (high - low)
            color = (int(255 * share), 80, int(255 * (1 - share))) if value == value else (70, 70, 74)
            drawing.ellipse((column - 2, row + LINE - 2, column + 2, row + LINE + 2), color)
        panels.append(panel)
    canvas = Image.new("RGB", (len(panels) * (MAP_SIDE + MARGIN) + MARGIN, MAP_SIDE + LINE + 2 * MARGIN), BACKGROUND)
    for number, panel in enumerate(panels):
        canvas.paste(panel, (MARGIN + number * (MAP_SIDE + MARGIN), MARGIN))
    return canvas
