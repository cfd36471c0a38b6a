"""Contact sheet of a dataset folder: frames with boxes, masks and captions drawn in."""

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

FILE_NAME = "sheet.png"
FRAMES, COLUMNS, WIDTH = 12, 4, 360  # frames of a sheet and of a row; width of a frame [px]
CAPTIONS, LINE_LETTERS, LINE_HEIGHT = 2, 56, 14  # captions below a frame; letters and pixels of their lines
INK, PAPER = (25, 25, 25), (250, 250, 250)
TINTS = ((255, 60, 200), (0, 230, 255), (255, 220, 0), (120, 255, 90), (255, 130, 60), (170, 130, 255))


def draw_contact_sheet(path: Path) -> Path:
    """Draw `sheet.png` into a complete dataset folder: evenly spaced frames of all splits. Returns the file."""
    frames: list[tuple[str, Record, list[Record], list[str], list[str]]] = []
    for split in SPLITS:
        instances, captions = _read(path, "instances", split), _read(path, "captions", split)
        objects_of: dict[int, list[Record]] = defaultdict(list)
        captions_of: dict[int, list[str]] = defaultdict(list)
        for annotation in instances["annotations"]:
            objects_of[annotation["image_id"]].append(annotation)
        for annotation in captions["annotations"]:
            captions_of[annotation["image_id"]].append(annotation["caption"])
        names = [category["name"] for category in instances["categories"]]
        for image in instances["images"]:
            frames.append((split, image, objects_of[image["id"]], captions_of[image["id"]], names))
    chosen = np.linspace(0, len(frames) - 1, min(FRAMES, len(frames))).round().astype(int)
    cells = [_cell(path, *frames[i]) for i in chosen]
    height = max(cell.height for cell in cells)
    sheet = Image.new("RGB", (COLUMNS * WIDTH, -(-len(cells) // COLUMNS) * height), PAPER)
    for i, cell in enumerate(cells):
        sheet.paste(cell, (i % COLUMNS * WIDTH, i // COLUMNS * height))
    sheet.save(path / FILE_NAME)
    return path / FILE_NAME


def _read(path: Path, content: str, split: str) -> dict[str, Any]:
    records: dict[str, Any] = json.loads((path / "annotations" / f"{content}_{split}.json").read_text(encoding="utf-8"))
    return records


def _cell(
    path: Path, split: str, image: Record, objects: list[Record], captions: list[str], names: list[str]
) -> Image.Image:
    """Draw a frame: masks tinted, boxes outlined just outside of the objects, below it counts and two captions."""
    with Image.open(path / "images" / image["file_name"]) as file:
        pixels = np.asarray(file.convert("RGB")).copy()
    for annotation in objects:
        mask = decode(annotation["segmentation"]["counts"], pixels.shape[:2])
        tint = np.array(TINTS[(annotation["category_id"] - 1) % len(TINTS)])
        pixels[mask] = (0.45 * pixels[mask] + 0.55 * tint).astype(np.uint8)
    scale = WIDTH / pixels.shape[1]
    frame = Image.fromarray(pixels).resize((WIDTH, round(pixels.shape[0] * scale)), Image.Resampling.NEAREST)
    lines = [f"{split} {image['file_name']} · " + ", ".join(_counts(objects, names))]
    for caption in captions[:CAPTIONS]:
        lines += textwrap.wrap(caption, LINE_LETTERS)
    cell = Image.new("RGB", (WIDTH, frame.height + LINE_HEIGHT * (len(lines) + 1)), PAPER)
    cell.paste(frame)
    draw, font = ImageDraw.Draw(cell), ImageFont.load_default(12)
    for annotation in objects:
        x, y, w, h = (value * scale for value in annotation["bbox"])
        draw.rectangle((x - 1, y - 1, x + w, y + h), outline=TINTS[(annotation["category_id"] - 1) % len(TINTS)])
    for i, line in enumerate(lines):
        draw.text((6, frame.height + 4 + LINE_HEIGHT * i), line, INK, font)
    return cell


def _counts(objects: list[Record], names: list[str]) -> list[str]:
    present = [names[annotation["category_id"] - 1] for annotation in objects]
    return [f"{present.count(name)} {name}" for name in names if name in present]
