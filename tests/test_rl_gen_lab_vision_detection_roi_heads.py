"""Masks of boxes, read and pasted back."""

from __future__ import annotations

import numpy as np
import torch

from rl_gen_lab.vision.detection.roi_heads import mask_targets, paste


def test_a_mask_read_inside_its_box_is_pasted_back_where_it_was() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        x, y = int(rng.integers(0, 20)), int(rng.integers(0, 25))
        mask = torch.zeros(1, 40, 32, dtype=torch.bool)
        mask[0, y : y + 14, x : x + 7] = torch.from_numpy(rng.random((14, 7)) > 0.4)
        box = torch.tensor([[x, y, x + 7.0, y + 14.0]])
        read = mask_targets(mask, box, 14)
        assert set(read.unique().tolist()) <= {0.0, 1.0}
        assert torch.equal(paste(mask_targets(mask, box, 14)[..., :], box, (40, 32))[0], mask[0])


def test_nothing_is_pasted_outside_of_a_box() -> None:
    full = paste(torch.ones(1, 14, 14), torch.tensor([[2.0, 3, 6, 10]]), (20, 10))[0]
    expected = torch.zeros(20, 10, dtype=torch.bool)
    expected[3:10, 2:6] = True
    assert torch.equal(full, expected)
    assert paste(torch.zeros(0, 14, 14), torch.zeros(0, 4), (20, 10)).shape == (0, 20, 10)
