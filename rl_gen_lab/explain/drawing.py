"""Pictures of explanations: maps over frames, rows of panels, the filters of a first layer."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor, nn

from rl_gen_lab.cli.errors import ConfigError

FOR, AGAINST = (255, 90, 40), (60, 150, 255)  # what raises the number, what lowers it
DIM, STRONG = 0.55, 0.9  # brightness that the picture keeps; share of it that the strongest color replaces
CLIPPED = 99.8  # percentile of a map's strengths that is drawn at full color
SIDE, LINE, GAP = 168, 18, 4  # pixels: height of a panel, of a line of text, between panels
LETTERS = 38  # in a line of `sentences`
BACKGROUND, INK = (24, 26, 31), (222, 226, 230)
FILTER_PIXELS, MOST_FILTERS = 7, 64  # of a filter's weight; filters that are drawn


def strongest(map_: Tensor) -> np.ndarray:
    """Return for each place of a map (C, H, W) the value of the largest size over the channels, signed, (H, W)."""
    index = map_.abs().argmax(0, keepdim=True)
    values: np.ndarray = map_.gather(0, index)[0].double().numpy()
    return values


def overlay(image: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Dim a picture and color it by a map, as strong as its values are. image: (H, W, 3) uint8; values: (h, w), signed.

    A map of another size is enlarged to the picture's, as the agent's small frames are of the whole screen.
    """
    top = float(np.percentile(np.abs(values), CLIPPED)) or float(np.abs(values).max()) or 1.0
    size = (image.shape[1], image.shape[0])
    scaled = Image.fromarray((values / top).clip(-1, 1).astype(np.float32)).resize(size, Image.Resampling.NEAREST)
    strength = np.asarray(scaled)[..., None]
    color = np.where(strength > 0, np.array(FOR), np.array(AGAINST))
    share = STRONG * np.abs(strength) ** 0.5  # weak parts stay visible
    result: np.ndarray = (DIM * image * (1 - share) + color * share).round().astype(np.uint8)
    return result


def in_color(gray: np.ndarray) -> np.ndarray:
    """Return a gray picture (H, W) as (H, W, 3) uint8."""
    return np.repeat(np.asarray(gray, np.uint8)[..., None], 3, 2)


def panels(rows: Sequence[Sequence[tuple[str, np.ndarray]]], side: int = SIDE) -> Image.Image:
    """Draw rows of pictures (H, W, 3) uint8, each with a word above it."""
    drawn = [[(word, _sized(image, side)) for word, image in row] for row in rows]
    width = max(sum(image.width + GAP for _, image in row) for row in drawn) + GAP
    canvas = Image.new("RGB", (width, len(rows) * (side + LINE + GAP) + GAP), BACKGROUND)
    pen, font = ImageDraw.Draw(canvas), ImageFont.load_default(13)
    for number, row in enumerate(drawn):
        x, y = GAP, number * (side + LINE + GAP) + GAP
        for word, image in row:
            pen.text((x + 2, y), word, INK, font)
            canvas.paste(image, (x, y + LINE))
            x += image.width + GAP
    return canvas


def _sized(image: np.ndarray, side: int) -> Image.Image:
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ConfigError(f"no picture: {image.dtype} of shape {image.shape}, where (H, W, 3) bytes are drawn")
    width = max(round(image.shape[1] * side / image.shape[0]), 1)
    return Image.fromarray(image).resize((width, side), Image.Resampling.NEAREST)


def filters(network: nn.Module) -> Image.Image:
    """Draw the filters of the first convolution: a block for each, a column for each channel (a stack's: oldest first).

    All share one scale; gray is 0. Raises: ConfigError for a network without a convolution.
    """
    first = next((module for module in network.modules() if isinstance(module, nn.Conv2d)), None)
    if first is None:
        raise ConfigError("this network has no convolution, so no filters to draw")
    weights = first.weight.detach().float().numpy()[:MOST_FILTERS]
    count, channels, height, width = weights.shape
    top = float(np.abs(weights).max()) or 1.0
    columns = max(1, min(count, round((2 * count / channels) ** 0.5)))
    tall, wide = height * FILTER_PIXELS + GAP, channels * (width * FILTER_PIXELS + 1) + 2 * GAP
    canvas = Image.new("RGB", (columns * wide + GAP, -(-count // columns) * tall + GAP), BACKGROUND)
    for number, weight in enumerate(weights):
        x, y = number % columns * wide + GAP, number // columns * tall + GAP
        for channel in weight:
            gray = in_color(np.round(127.5 + 127.5 * channel / top).clip(0, 255))
            size = (width * FILTER_PIXELS, height * FILTER_PIXELS)
            canvas.paste(Image.fromarray(gray).resize(size, Image.Resampling.NEAREST), (x, y))
            x += size[0] + 1
    return canvas


def bars(labels: Sequence[str], before: Sequence[float], after: Sequence[float]) -> np.ndarray:
    """Draw two numbers for each label, before above after, from the least to the largest of all; the largest of each
    is in color. Returns (H, W, 3) uint8.
    """
    low, high = min(*before, *after), max(*before, *after)
    wide, tall = 2 * SIDE, SIDE
    canvas = Image.new("RGB", (wide, tall), BACKGROUND)
    pen, font = ImageDraw.Draw(canvas), ImageFont.load_default(11)
    left, step = int(wide * 0.3), tall / len(labels)
    for number, label in enumerate(labels):
        top = number * step
        pen.text((4, top + step / 2 - 7), label[:14], INK, font)
        for row, (values, light) in enumerate(((before, True), (after, False))):
            length = (wide - left - 8) * (0.04 + 0.96 * (values[number] - low) / ((high - low) or 1.0))
            color = (
                (FOR if row else AGAINST)
                if values[number] == max(values)
                else (150, 155, 165)
                if light
                else (95, 99, 108)
            )
            y = top + 2 + row * (step - 4) / 2
            pen.rectangle((left, y, left + length, y + (step - 4) / 2 - 1), color)
    return np.asarray(canvas).copy()


def sentences(parts: Sequence[tuple[str, str]], side: int = SIDE) -> np.ndarray:
    """Write words, each with a sentence below it, in lines that fit. Returns (side, 1.5 * side, 3) uint8."""
    canvas = Image.new("RGB", (side * 3 // 2, side), BACKGROUND)
    pen, font, y = ImageDraw.Draw(canvas), ImageFont.load_default(11), 4
    for word, sentence in parts:
        for number, line in enumerate([word, *textwrap.wrap(sentence, LETTERS)]):
            pen.text((6 if number else 2, y), line, INK if number else AGAINST, font)
            y += 13
        y += 4
    return np.asarray(canvas).copy()
