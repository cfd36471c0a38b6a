"""Attention maps of a captioner: heat over the image for each word."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from rl_gen_lab.cli.errors import CheckpointError
from rl_gen_lab.data.dataset import Split
from rl_gen_lab.vision.captioning.decoding import Sentence
from rl_gen_lab.vision.captioning.task import CaptioningTask
from rl_gen_lab.vision.colors import BACKGROUND, INK, QUIET_INK

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
HEAT = (255, 220, 60)
DIM, GLOW = 0.6, 0.65  # brightness that the image keeps; share of its color that the strongest heat replaces
SATURATION = 4.0  # attention, in multiples of its mean, that is drawn at full heat if none is larger
LINE = 18  # pixels of a line of text
COLUMNS = 8
PANEL_HEIGHT = 240  # pixels, about; images are enlarged by whole numbers
MAX_PANEL = 640  # pixels of a side of a panel; larger images are reduced
TEXT_LINES = 4  # of a sentence


def heat(image: np.ndarray, attention: np.ndarray) -> np.ndarray:
    """Dim an image and overlay heat where attention is above its mean.

    image: (H, W, 3) uint8; attention: (h, w), not negative, its sum is 1 -> (H, W, 3) uint8. Heat goes from the mean to
    the largest value, or to `SATURATION` times the mean where all are smaller; it is interpolated bilinearly.
    """
    mean = 1 / attention.size
    strength = (attention - mean) / max(float(attention.max()) - mean, (SATURATION - 1) * mean)
    small = Image.fromarray(np.clip(strength, 0, 1).astype(np.float32))
    glow = GLOW * np.asarray(small.resize((image.shape[1], image.shape[0]), Image.Resampling.BILINEAR))[..., None]
    return (DIM * image * (1 - glow) + np.array(HEAT) * glow).round().astype(np.uint8)


def attention_grid(caption: CaptioningTask, attention: Tensor) -> np.ndarray:
    """Reshape attention (L, P) to the grid of the feature map: (L, h, w) float32. Raises: CheckpointError for NaN."""
    if not bool(attention.isfinite().all()):  # of finite weights whose products are not
        raise CheckpointError("the attention of this captioner is not finite: its weights are damaged")
    grid = caption.network.backbone.feature_maps[-1]
    return attention.float().cpu().numpy().reshape(len(attention), grid.height, grid.width)


def draw(caption: CaptioningTask, image: Tensor, sentence: Sentence, true: Sequence[str] = ()) -> Image.Image:
    """Draw the image, a panel of heat for each word, the sentence below and the `true` captions below it.

    image: (3, H, W) uint8.
    """
    pixels = np.ascontiguousarray(image.permute(1, 2, 0).numpy())
    scale = max(1, min(round(PANEL_HEIGHT / pixels.shape[0]), MAX_PANEL // pixels.shape[1]))
    pixels = pixels.repeat(scale, 0).repeat(scale, 1)
    if (factor := -(-max(pixels.shape[:2]) // MAX_PANEL)) > 1:  # a panel for each word of a photo would be too much
        pixels = np.asarray(Image.fromarray(pixels).reduce(factor))
    names = [caption.vocabulary.words[word] for word in sentence.words]
    maps = attention_grid(caption, sentence.attention)
    panels = [(pixels, "")] + [(heat(pixels, map_), name) for name, map_ in zip(names, maps, strict=True)]
    height, width = pixels.shape[0] + LINE + 8, pixels.shape[1] + 8
    columns = min(COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    font = ImageFont.load_default(14)
    generated = wrap(f"generated: {caption.vocabulary.decode(sentence.words)}", font, columns * width - 12)
    lines = generated + [line for text in true for line in wrap(f"true: {text}", font, columns * width - 12)]
    canvas = Image.new("RGB", (columns * width, rows * height + len(lines) * LINE + 12), BACKGROUND)
    drawing = ImageDraw.Draw(canvas)
    for i, (panel, name) in enumerate(panels):
        x, y = i % columns * width + 4, i // columns * height + 4
        canvas.paste(Image.fromarray(panel), (x, y + LINE))
        drawing.text((x, y), name, INK, font)
    for i, line in enumerate(lines):
        ink = INK if i < len(generated) else QUIET_INK
        drawing.text((6, rows * height + 6 + i * LINE), line, ink, font)
    return canvas


def wrap(text: str, font: Font, width: int) -> list[str]:
    """Break a text into at most `TEXT_LINES` lines of `width` pixels; what does not fit becomes an ellipsis."""
    share = width / max(font.getlength(text), 1)
    letters = len(text) if share >= 1 else max(1, int(0.9 * share * len(text)))  # of a line: some letters are wide
    return textwrap.wrap(text, letters, max_lines=TEXT_LINES, placeholder="..."[:letters])


def write(caption: CaptioningTask, split: Split, indices: Sequence[int], folder: Path) -> list[tuple[Path, str]]:
    """Write `draw` of these images of a split as PNG files; return each file with the generated sentence."""
    folder.mkdir(parents=True, exist_ok=True)
    caption.network.eval()
    files = []
    with torch.no_grad():
        sentences = caption.generate(split.images[list(indices)])
    for index, sentence in zip(indices, sentences, strict=True):
        label = split.labels[index]
        file = folder / f"attention_{split.name}_{split.name_of(index)}.png"
        draw(caption, split.images[index], sentence, label.captions[:1]).save(file)
        files.append((file, caption.vocabulary.decode(sentence.words)))
    return files
