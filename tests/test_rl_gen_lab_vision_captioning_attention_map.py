"""Attention maps: heat at the right position, a panel for each word."""

from __future__ import annotations

import caption_models
import numpy as np
import pong_models
import pytest
import torch
from PIL import Image

from rl_gen_lab import caption
from rl_gen_lab.cli.errors import CheckpointError
from rl_gen_lab.data import dataset as data
from rl_gen_lab.runs.folder import RunFolder
from rl_gen_lab.vision.captioning.attention_map import (
    DIM,
    LINE,
    MAX_PANEL,
    PANEL_HEIGHT,
    TEXT_LINES,
    attention_grid,
    draw,
    heat,
)
from rl_gen_lab.vision.colors import BACKGROUND

GRAY = np.full((40, 40, 3), 100, np.uint8)


def test_it_glows_where_it_is_looked_at_and_nowhere_when_everywhere_is_alike() -> None:
    even = heat(GRAY, np.full((4, 4), 1 / 16))
    assert (even == round(100 * DIM)).all()
    one = np.zeros((4, 4))
    one[1, 3] = 1
    shown = heat(GRAY, one)
    bright = shown.astype(int).sum(-1) > even.astype(int).sum(-1)
    assert bright[15, 35] and shown[15, 35, 0] == shown[..., 0].max()
    assert not bright[:, :20].any() and not bright[30:].any()
    faint = np.full((4, 4), 0.9 / 15)
    faint[1, 3] = 0.1
    assert even[15, 35, 0] < heat(GRAY, faint)[15, 35, 0] < shown[15, 35, 0], "a little more than the others glows less"


@pytest.mark.slow
def test_attention_that_is_not_finite_is_refused() -> None:
    with pytest.raises(CheckpointError, match="attention of this captioner is not finite"):
        attention_grid(None, torch.full((2, 4), torch.nan))  # type: ignore[arg-type]


def test_a_training_leaves_pictures_with_a_panel_for_every_word() -> None:
    run = RunFolder.open(pong_models.run("caption"))
    files = sorted((run.path / "pictures").glob("attention_val_*.png"))
    val = data.load(pong_models.folder()).splits["val"]
    assert [file.stem.rpartition("_")[2] for file in files] == sorted(label.file.stem for label in val.labels)
    captioner = caption.open_captioner(run.path)
    (told,) = captioner.generate(val.images[:1])
    picture = draw(captioner, val.images[0], told, ("true words",))
    panels = 1 + len(told.words)
    assert picture.height > -(-panels // 8) * (210 * round(PANEL_HEIGHT / 210)) and picture.width >= 8 * 160
    with Image.open(files[0]) as saved:
        assert saved.width == picture.width


def test_a_long_sentence_is_wrapped_and_a_large_image_reduced() -> None:
    captioner = caption_models.task("attention")
    image = torch.full((3, 40, 32), 90, dtype=torch.uint8)
    with torch.no_grad():
        (told,) = captioner.generate(image[None], captioner.vocabulary.encode("ball high")[1:-1])
    short, long = (draw(captioner, image, told, (text,)) for text in ("a ball", "a very long tale of a ball " * 40))
    assert long.width == short.width and long.height - short.height == (TEXT_LINES - 1) * LINE
    inked = (np.abs(np.asarray(long).astype(int) - BACKGROUND).sum(-1) > 60)[-TEXT_LINES * LINE :].any(0).nonzero()[0]
    assert inked.max() < long.width - 4, "no word is cut off"
    for height, width in ((2_000, 1_000), (2, 3_000), (1, 1)):
        panel = draw(captioner, torch.zeros(3, height, width, dtype=torch.uint8), told)
        assert panel.width <= 8 * (MAX_PANEL + 8) and panel.height < 10 * (MAX_PANEL + 2 * LINE)
