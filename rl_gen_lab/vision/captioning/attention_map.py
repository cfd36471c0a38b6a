"""Where a captioner looked: its attention as heat over the picture, word by word."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from rl_gen_lab.data.dataset import Split
from rl_gen_lab.vision.captioning.captioner import Caption, Sentence

BACKGROUND, INK, QUIET = (24, 26, 31), (222, 226, 230), (150, 156, 164)
HEAT = (255, 220, 60)
DIM, GLOW = 0.6, 0.65  # how bright a picture stays, and how much of its colour the strongest glow takes away
SHARPEST = 4.0  # times the mean weight: what counts as really looking somewhere
LINE = 18  # pixels of a line of text
COLUMNS = 8
PANEL_HEIGHT = 240  # pixels, about; pictures are enlarged by whole numbers


def heat(picture: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """A picture, dimmed, that glows where it is looked at more than everywhere alike.

    picture: (H, W, 3) uint8; weights: (h, w), not negative, their sum is 1 -> (H, W, 3) uint8. The glow goes from the
    mean weight to the largest one, or to `SHARPEST` times the mean where all are smaller; it is spread bilinearly.
    """
    mean = 1 / weights.size
    shares = (weights - mean) / max(float(weights.max()) - mean, (SHARPEST - 1) * mean)
    spread = Image.fromarray(np.clip(shares, 0, 1).astype(np.float32))
    glow = GLOW * np.asarray(spread.resize((picture.shape[1], picture.shape[0]), Image.Resampling.BILINEAR))[..., None]
    return (DIM * picture * (1 - glow) + np.array(HEAT) * glow).round().astype(np.uint8)


def positions(caption: Caption, looks: Tensor) -> np.ndarray:
    """(L, h, w) float32: attention (L, P) on the grid of the map that was looked at."""
    grid = caption.network.backbone.feature_maps[-1]
    return looks.float().cpu().numpy().reshape(len(looks), grid.height, grid.width)


def draw(caption: Caption, image: Tensor, told: Sentence, true: Sequence[str] = ()) -> Image.Image:
    """A panel for every word, the picture itself first; the sentence below, then those of `true`.

    image: (3, H, W) uint8.
    """
    picture = np.ascontiguousarray(image.permute(1, 2, 0).numpy())
    scale = max(1, round(PANEL_HEIGHT / picture.shape[0]))
    picture = picture.repeat(scale, 0).repeat(scale, 1)
    names = [caption.vocabulary.words[word] for word in told.words]
    panels = [(picture, "")] + [
        (heat(picture, weights), name) for name, weights in zip(names, positions(caption, told.looks), strict=True)
    ]
    height, width = picture.shape[0] + LINE + 8, picture.shape[1] + 8
    columns = min(COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    lines = [f"said: {caption.vocabulary.decode(told.words)}", *(f"true: {one}" for one in true)]
    font = ImageFont.load_default(14)
    canvas = Image.new("RGB", (columns * width, rows * height + len(lines) * LINE + 12), BACKGROUND)
    pen = ImageDraw.Draw(canvas)
    for i, (panel, name) in enumerate(panels):
        x, y = i % columns * width + 4, i // columns * height + 4
        canvas.paste(Image.fromarray(panel), (x, y + LINE))
        pen.text((x, y), name, INK, font)
    for i, line in enumerate(lines):
        pen.text((6, rows * height + 6 + i * LINE), line, INK if i == 0 else QUIET, font)
    return canvas


def write(caption: Caption, split: Split, indices: Sequence[int], folder: Path) -> list[tuple[Path, str]]:
    """`draw` for these images of a split, as PNG files; with each file what was said of it."""
    folder.mkdir(parents=True, exist_ok=True)
    caption.network.eval()
    found = []
    with torch.no_grad():
        sentences = caption.write(split.images[list(indices)])
    for index, told in zip(indices, sentences, strict=True):
        label = split.labels[index]
        file = folder / f"attention_{split.name}_{label.file.stem}.png"
        draw(caption, split.images[index], told, label.captions[:1]).save(file)
        found.append((file, caption.vocabulary.decode(told.words)))
    return found
