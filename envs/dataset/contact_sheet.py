"""A picture of a dataset to look at: frames with boxes, masks and captions drawn in."""

from __future__ import annotations

import json
import textwrap
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from envs.dataset.coco import Record, decode
from envs.dataset.folder import SPLITS

FRAMES, COLUMNS, WIDTH = 12, 4, 360  # frames of a sheet; in a row; pixels of one
CAPTIONS, LETTERS, LINE = 2, 56, 14  # captions under a frame, letters and pixels of their lines
INK, PAPER = (25, 25, 25), (250, 250, 250)
TINTS = ((255, 60, 200), (0, 230, 255), (255, 220, 0), (120, 255, 90), (255, 130, 60), (170, 130, 255))


def draw_sheet(path: Path) -> Path:
    """Draw `sheet.png` into a finished dataset folder: frames of all splits, evenly chosen. Returns the file."""
    frames: list[tuple[str, Record, list[Record], list[str], list[str]]] = []
    for split in SPLITS:
        instances, captions = _read(path, "instances", split), _read(path, "captions", split)
        things: dict[int, list[Record]] = defaultdict(list)
        said: dict[int, list[str]] = defaultdict(list)
        for thing in instances["annotations"]:
            things[thing["image_id"]].append(thing)
        for caption in captions["annotations"]:
            said[caption["image_id"]].append(caption["caption"])
        names = [category["name"] for category in instances["categories"]]
        frames += [(split, image, things[image["id"]], said[image["id"]], names) for image in instances["images"]]
    chosen = np.linspace(0, len(frames) - 1, min(FRAMES, len(frames))).round().astype(int)
    cells = [_cell(path, *frames[i]) for i in chosen]
    height = max(cell.height for cell in cells)
    sheet = Image.new("RGB", (COLUMNS * WIDTH, -(-len(cells) // COLUMNS) * height), PAPER)
    for i, cell in enumerate(cells):
        sheet.paste(cell, (i % COLUMNS * WIDTH, i // COLUMNS * height))
    sheet.save(path / "sheet.png")
    return path / "sheet.png"


def _read(path: Path, kind: str, split: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((path / "annotations" / f"{kind}_{split}.json").read_text(encoding="utf-8"))
    return found


def _cell(
    path: Path, split: str, image: Record, things: list[Record], said: list[str], names: list[str]
) -> Image.Image:
    """One frame: masks tinted, boxes outlined just outside of what they hold, what it is and two captions below."""
    with Image.open(path / "images" / image["file_name"]) as file:
        pixels = np.asarray(file.convert("RGB")).copy()
    for thing in things:
        mask = decode(thing["segmentation"]["counts"], pixels.shape[:2])
        tint = np.array(TINTS[(thing["category_id"] - 1) % len(TINTS)])
        pixels[mask] = (0.45 * pixels[mask] + 0.55 * tint).astype(np.uint8)
    scale = WIDTH / pixels.shape[1]
    picture = Image.fromarray(pixels).resize((WIDTH, round(pixels.shape[0] * scale)), Image.Resampling.NEAREST)
    lines = [f"{split} {image['file_name']} · " + ", ".join(_counts(things, names))]
    for caption in said[:CAPTIONS]:
        lines += textwrap.wrap(caption, LETTERS)
    cell = Image.new("RGB", (WIDTH, picture.height + LINE * (len(lines) + 1)), PAPER)
    cell.paste(picture)
    pen, font = ImageDraw.Draw(cell), ImageFont.load_default(12)
    for thing in things:
        x, y, w, h = (value * scale for value in thing["bbox"])
        pen.rectangle((x - 1, y - 1, x + w, y + h), outline=TINTS[(thing["category_id"] - 1) % len(TINTS)])
    for i, line in enumerate(lines):
        pen.text((6, picture.height + 4 + LINE * i), line, INK, font)
    return cell


def _counts(things: list[Record], names: list[str]) -> list[str]:
    found = [names[thing["category_id"] - 1] for thing in things]
    return [f"{found.count(name)} {name}" for name in names if name in found]
