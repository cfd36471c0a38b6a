"""A picture by its file, or by its name among those that scikit-image ships: nothing is downloaded.

brick, grass and gravel are textures (gray); camera and coins are gray, the others in color. All are free to
use: CC0 or in the public domain (astronaut, brick, camera, chelsea, coffee, grass, gravel, hubble, rocket), of no
known restriction (cells, coins).
"""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path

import numpy as np
from PIL import Image

from rl_gen_lab.cli.errors import suggest
from rl_gen_lab.data.images import read_image
from rl_gen_lab.data.records import DataError

MODULE = "skimage.data"
PICTURES = 'install the extra "pictures", .venv/bin/python -m pip install -c constraints.txt -e ".[pictures]"'
# Names here, and those of the functions of skimage.data.
SHIPPED = {
    name: name for name in ("astronaut", "brick", "camera", "chelsea", "coffee", "coins", "grass", "gravel", "rocket")
} | {"cells": "immunohistochemistry", "hubble": "hubble_deep_field"}


def read_picture(name: str) -> np.ndarray:
    """Return a picture, (H, W, 3) uint8, by its file or its name. Raises: DataError for what is neither."""
    file = Path(name)
    if file.is_dir():
        raise DataError(f"{name} is a folder, not a picture: name a file in it")
    if os.path.lexists(file):
        return np.ascontiguousarray(read_image(file).transpose(1, 2, 0))
    if name not in SHIPPED:
        raise DataError(f"no picture {name!r}: a file, or one of {', '.join(SHIPPED)}.{suggest(name, SHIPPED)}")
    try:
        module = import_module(MODULE)
    except ImportError as error:
        raise DataError(f"{name} is in scikit-image, which is not here: {PICTURES}; or give a file") from error
    found = np.asarray(getattr(module, SHIPPED[name])(), np.uint8)
    return np.ascontiguousarray(found if found.ndim == 3 else np.repeat(found[..., None], 3, 2))


def is_gray(picture: np.ndarray) -> bool:
    """Return whether all pixels of a picture (H, W, 3) are gray."""
    return bool((picture == picture[..., :1]).all())


def one_color(picture: np.ndarray) -> bool:
    """Return whether all pixels of a picture (H, W, 3) are the same."""
    return bool((picture == picture[:1, :1]).all())


def fitted(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return the middle of a picture, as large as fits, scaled to (height, width, 3) uint8."""
    tall, wide = picture.shape[:2]
    scale = min(tall / height, wide / width)
    rows, columns = max(round(height * scale), 1), max(round(width * scale), 1)
    top, left = (tall - rows) // 2, (wide - columns) // 2
    middle = Image.fromarray(picture[top : top + rows, left : left + columns])
    return np.asarray(
        middle.resize((width, height), Image.Resampling.LANCZOS if scale > 1 else Image.Resampling.NEAREST)
    )
