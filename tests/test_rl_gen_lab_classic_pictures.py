"""Figures of classic classifiers."""

from __future__ import annotations

import numpy as np
import torch

from rl_gen_lab.classic.pictures import INK, glyphs, panel, sheet


def test_the_glyph_of_a_level_gradient_is_an_upright_edge() -> None:
    cells = torch.zeros(1, 1, 2)
    cells[..., 0] = 1.0  # directions around 45 degrees; two bins over half a turn
    upright = torch.zeros(1, 1, 18)
    upright[..., 0] = 1.0  # around 5 degrees: nearly level
    pixels = np.asarray(glyphs(upright, 20).convert("L"))
    assert pixels[:, 8:12].sum() > 0.9 * pixels.sum()
    assert np.asarray(glyphs(cells, 20)).max() == 255


def test_the_signs_of_weights_have_their_colors() -> None:
    image = np.asarray(panel(torch.tensor([[1.0, -1.0], [0.0, 0.0]]), gray=False))
    side = image.shape[0] // 2
    assert image[0, 0].tolist() == [0, 0, 255] and image[0, side].tolist() == [255, 0, 0]
    assert image[side, 0].tolist() == [255, 255, 255]


def test_panels_stand_in_rows_with_their_texts() -> None:
    one = panel(torch.eye(4))
    drawn = sheet([(one, "a", INK), (one, "b", INK), (one, "c", INK)], 2)
    assert drawn.width > 2 * one.width and drawn.height > 2 * one.height
