"""The loss of boxes."""

from __future__ import annotations

import pytest
import torch

from rl_gen_lab.vision.detection.common import box_loss


def test_a_seldom_class_counts_by_the_root_of_how_seldom_it_is() -> None:
    classes = torch.tensor([[1] * 9 + [2] + [0] * 6])
    logits, offsets = torch.zeros(1, 16, 3, requires_grad=True), torch.zeros(1, 16, 4, requires_grad=True)
    places, used = torch.ones(1, 16, 4), torch.ones(1, 16, dtype=torch.bool)
    losses = box_loss(logits, offsets, classes, places, used)
    losses["loss"].backward()
    assert logits.grad is not None and offsets.grad is not None
    assert logits.grad[0, 9, 2] / logits.grad[0, 0, 1] == pytest.approx(3.0)
    assert offsets.grad[0, 9, 0] / offsets.grad[0, 0, 0] == pytest.approx(3.0)
    same = box_loss(logits, offsets, classes.clamp(max=1), places, used)
    assert float(losses["box"]) == pytest.approx(float(same["box"])), "in the mean a box counts as before"
