"""The contact sheet: its size follows the frames, and masks are tinted in it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scene_folders import pong_folder

from envs.dataset.contact_sheet import COLUMNS, FRAMES, PAPER, TINTS, WIDTH, draw_contact_sheet


@pytest.mark.slow
def test_a_sheet_shows_twelve_frames_in_rows_of_four_with_tinted_objects(tmp_path: Path) -> None:
    path = shutil.copytree(pong_folder(), tmp_path / "data")
    before = (path / "sheet.png").read_bytes()
    (path / "sheet.png").unlink()
    file = draw_contact_sheet(path)
    assert file == path / "sheet.png" and file.read_bytes() == before
    pixels = np.asarray(Image.open(file).convert("RGB"))
    height, width, _ = pixels.shape
    assert width == COLUMNS * WIDTH and height % (FRAMES // COLUMNS) == 0
    # Every cell begins with a frame, and ends with an empty line of paper.
    cell = height // (FRAMES // COLUMNS)
    for row in range(FRAMES // COLUMNS):
        for column in range(COLUMNS):
            part = pixels[row * cell : (row + 1) * cell, column * WIDTH : (column + 1) * WIDTH]
            assert (part[0] != PAPER).any() and (part[-1] == PAPER).all()
    outlines = {tuple(color) for color in pixels.reshape(-1, 3)[::7].tolist()} & set(TINTS)
    assert len(outlines) >= 2, "boxes are outlined in the color of their category"
