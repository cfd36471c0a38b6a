"""A copy of a folder of annotated images in which a share of the training images is restyled: labels stay true."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.data import dataset
from rl_gen_lab.explain.synthesis.measures import as_picture
from rl_gen_lab.explain.synthesis.styled import Apply
from rl_gen_lab.runs.files import replace_file, save_errors


def check_target(folder: Path, out: Path) -> None:
    """Raises: ConfigError where the copy would lie over something, within the folder itself, or cannot be written."""
    if out.exists() or out.is_symlink():
        raise ConfigError(f"{out} exists already: name a folder that does not, or delete it")
    if out.resolve().is_relative_to(folder.resolve()):
        raise ConfigError(f"{out} lies within {folder}, of which it is a copy: name a folder beside it")
    above = next(parent for parent in out.absolute().parents if parent.exists())
    if not (above.is_dir() and os.access(above, os.W_OK | os.X_OK)):
        raise ConfigError(f"{out} cannot be made: {above} is no folder that you may write in")


def restyled_rows(count: int, share: float, seed: int) -> list[int]:
    """Return which of `count` images are restyled: drawn by chance, as many as the share says, in order.

    Raises: ConfigError where that is none.
    """
    wanted = round(share * count)
    if not wanted:
        raise ConfigError(f"--share {share:g} of {count:,} training images is none: choose a larger one")
    return sorted(np.random.default_rng(seed).choice(count, wanted, replace=False).tolist())


def write_copy(
    folder: Path, out: Path, apply: Apply, share: float, seed: int, on_image: Callable[[int, int], None]
) -> int:
    """Copy a folder and restyle a share of its training images in the copy, drawn by `restyled_rows`; return how many.

    apply: a picture (1, 3, H, W) in [0, 1] -> the same, restyled. on_image: gets the number restyled so far, and of
    all. The images of the other splits stay as they are. Raises: ConfigError, DataError, SaveError.
    """
    check_target(folder, out)
    train = dataset.load(folder).splits["train"]
    chosen = restyled_rows(len(train), share, seed)
    with save_errors(out):
        shutil.copytree(folder, out)
    for done, index in enumerate(chosen):
        made = as_picture(apply(train.images[index : index + 1].float() / 255))
        file = out / train.labels[index].file.relative_to(folder)
        kind = Image.registered_extensions()[file.suffix.lower()]
        replace_file(file, lambda new, made=made, kind=kind: Image.fromarray(made).save(new, kind))  # type: ignore[misc]
        on_image(done + 1, len(chosen))
    return len(chosen)
