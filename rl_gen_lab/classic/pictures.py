"""Figures of a classic classifier: predictions, and what its features and its weights look like."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from rl_gen_lab.classic.features import Gradients, Pca, Pixels, Words
from rl_gen_lab.data.dataset import Split

if TYPE_CHECKING:
    from rl_gen_lab.classic.task import ClassicTask

BACKGROUND, INK, WRONG = (24, 26, 31), (222, 226, 230), (255, 110, 100)
SIDE, LINE, MARGIN = 128, 15, 6  # pixels: of a panel's shorter side, about; of a text line; around panels
MAX_PANELS = 24
SHOWN = 12  # images whose predictions a figure shows


def panel(values: Tensor, gray: bool = True) -> Image.Image:
    """Draw numbers (H, W) from the lowest (black) to the highest (white); unless `gray`, below 0 red, above 0 blue."""
    if gray:
        low, high = float(values.min()), float(values.max())
        pixels = (255 * (values - low) / max(high - low, 1e-12)).to(torch.uint8).numpy()
        image = Image.fromarray(pixels).convert("RGB")
    else:
        share = values / values.abs().max().clamp(min=1e-12)
        colors = torch.stack((1 - share.clamp(min=0), 1 - share.abs(), 1 + share.clamp(max=0)), -1)
        image = Image.fromarray((255 * colors).to(torch.uint8).numpy())
    return _enlarge(image)


def _enlarge(image: Image.Image) -> Image.Image:
    factor = max(1, round(SIDE / min(image.size)))
    return image.resize((factor * image.width, factor * image.height), Image.Resampling.NEAREST)


def picture(image: Tensor) -> Image.Image:
    """Enlarge an image (3, H, W) uint8."""
    return _enlarge(Image.fromarray(np.ascontiguousarray(image.permute(1, 2, 0).numpy())))


def glyphs(cells: Tensor, side: int = 20, signed: bool = False) -> Image.Image:
    """Draw histograms of directions (rows, columns, O) as edges: in each cell a line across every gradient.

    The brighter a line, the longer its gradients; `signed`: weights, above 0 only. Lines lie along the edge, across the
    gradient, as in scikit-image.
    """
    rows, columns, orientations = cells.shape
    values = (cells.clamp(min=0) if signed else cells) / cells.max().clamp(min=1e-12)
    canvas = np.zeros((rows * side, columns * side), np.float32)
    reach = side / 2 - 1
    steps = np.linspace(-reach, reach, 4 * side)
    for o in range(orientations):
        angle = math.pi * (o + 0.5) / orientations + math.pi / 2  # of the edge
        y = np.round(side / 2 - 0.5 + steps * math.sin(angle)).astype(int)
        x = np.round(side / 2 - 0.5 + steps * math.cos(angle)).astype(int)
        line = np.zeros((side, side), np.float32)
        line[y, x] = 1
        canvas = np.maximum(canvas, np.kron(values[..., o].numpy(), line))
    return Image.fromarray((255 * canvas).astype(np.uint8)).convert("RGB")


def sheet(panels: Sequence[tuple[Image.Image, str, tuple[int, int, int]]], columns: int) -> Image.Image:
    """Draw panels of one size in rows, each with a line of text below it in its color."""
    width, height = panels[0][0].size
    rows = math.ceil(len(panels) / columns)
    size = (MARGIN + columns * (width + MARGIN), MARGIN + rows * (height + LINE + MARGIN))
    canvas, font = Image.new("RGB", size, BACKGROUND), ImageFont.load_default(11)
    drawing = ImageDraw.Draw(canvas)
    for i, (image, text, color) in enumerate(panels):
        x, y = MARGIN + i % columns * (width + MARGIN), MARGIN + i // columns * (height + LINE + MARGIN)
        canvas.paste(image, (x, y))
        drawing.text((x, y + height + 1), text, color, font)
    return canvas


def _names(task: ClassicTask, values: Tensor) -> str:
    return ", ".join(name for name, value in zip(task.categories, values.tolist(), strict=True) if value) or "nothing"


def predictions(task: ClassicTask, split: Split, indices: Sequence[int], scores: Tensor) -> Image.Image:
    """Draw images with what they show and what is predicted; wrong predictions in red. scores: (B, K)."""
    panels = []
    boundary = 0.5 if task.config.model == "knn" else 0.0
    for index, row in zip(indices, scores, strict=True):
        present = torch.zeros(len(task.categories))
        present[split.boxes(index)[1]] = 1
        found = torch.zeros_like(present)
        if task.network.one_class:
            found[row.argmax()] = 1
        else:
            found[row > boundary] = 1
        right = torch.equal(found, present)
        text = _names(task, found) if right else f"{_names(task, found)} (is: {_names(task, present)})"
        panels.append((picture(split.images[index]), text, INK if right else WRONG))
    return sheet(panels, min(len(panels), 6))


def features_of(task: ClassicTask, images: Tensor) -> Image.Image | None:
    """Draw what the features are: gradients of images (B, 3, H, W), principal components, or visual words."""
    features = task.network.features
    if isinstance(features, Pca):
        axes = features.axes[:MAX_PANELS].view(-1, *features.pixels.size)
        panels = [(panel(axis, gray=False), f"component {i + 1}", INK) for i, axis in enumerate(axes)]
        return sheet(panels, min(len(panels), 8))
    if isinstance(features, Words):
        shape = features.patches.shape[2:]
        words = [(glyphs(mean.view(shape), 32), "", INK) for mean in features.means]
        return sheet(words, 16)
    if isinstance(features, Gradients):
        panels = []
        for image in images:
            first = _cells(features.blocks(image[None])[0])
            drawn = glyphs(first, max(SIDE // min(first.shape[:2]), 8))
            panels += [(picture(image).resize(drawn.size), "", INK), (drawn, "", INK)]
        return sheet(panels, min(len(panels), 6))
    return None


def _cells(blocks: Tensor) -> Tensor:
    """Return one histogram for each cell: the mean of those of the blocks that hold it. (rows, columns, b, b, O)."""
    rows, columns, block = blocks.shape[:3]
    total = torch.zeros(rows + block - 1, columns + block - 1, blocks.shape[-1])
    count = torch.zeros(*total.shape[:2], 1)
    for y in range(block):
        for x in range(block):
            total[y : y + rows, x : x + columns] += blocks[:, :, y, x]
            count[y : y + rows, x : x + columns] += 1
    return total / count


def templates(task: ClassicTask) -> Image.Image | None:
    """Draw the weights of a linear classifier of pixels (blue: speaks for the class) or of gradients (edges for it)."""
    features, linear = task.network.features, task.network.linear
    if linear is None:
        return None
    weights = (linear.weight / task.network.scale).detach()[:MAX_PANELS]
    names = task.categories[:MAX_PANELS]
    if isinstance(features, Pixels):
        drawn = [panel(row.view(features.size), gray=False) for row in weights]
    elif isinstance(features, Pca):
        drawn = [panel((row @ features.axes).view(features.pixels.size), gray=False) for row in weights]
    elif isinstance(features, Gradients):
        cells = [_cells(row.view(features.shape)) for row in weights]
        side = max(SIDE // min(cells[0].shape[:2]), 8)
        drawn = [glyphs(histograms, side, signed=True) for histograms in cells]
    else:
        return None
    return sheet([(image, name, INK) for image, name in zip(drawn, names, strict=True)], min(len(drawn), 10))


def write(task: ClassicTask, split: Split, indices: Sequence[int], scores: Tensor, folder: Path) -> list[Path]:
    """Write the figures as PNG files. scores: (B, K) of the images `indices` of a split."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn = {
        f"predictions_{split.name}": predictions(task, split, indices, scores),
        "features": features_of(task, split.images[list(indices)[:3]]),
        "templates": templates(task),
    }
    files = []
    for name, image in drawn.items():
        if image is not None:
            files.append(folder / f"{name}.png")
            image.save(files[-1])
    return files
