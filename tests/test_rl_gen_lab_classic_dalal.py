"""Dalal and Triggs's gradients against OpenCV's."""

from __future__ import annotations

import torch
from classic_numbers import tensor, window
from torch import Tensor

from rl_gen_lab.classic.dalal import cell_weights, dalal, direction_votes
from rl_gen_lab.classic.hog import gradients, hog


def in_opencv_order(blocks: Tensor) -> Tensor:
    """Flatten blocks column by column, cells likewise: (B, D), the order of `cv2.HOGDescriptor.compute`."""
    return blocks.permute(0, 2, 1, 4, 3, 5).flatten(1)


def test_a_window_agrees_with_opencv() -> None:
    found, theirs = in_opencv_order(dalal(window()))[0], tensor("opencv").double()
    assert len(found) == 3_780
    assert (found - theirs).abs().max() < 2e-4
    assert torch.corrcoef(torch.stack((found, theirs)))[0, 1] > 0.999999


def test_the_people_detector_gives_its_score() -> None:
    people = tensor("people").double()
    score = in_opencv_order(dalal(window()))[0] @ people[:-1] + people[-1]
    assert abs(float(score - tensor("people_score"))) < 1e-3


def test_the_two_conventions_differ() -> None:
    others = hog(window()).flatten()
    found = dalal(window()).flatten()
    assert torch.corrcoef(torch.stack((found, others)))[0, 1] < 0.95


def test_votes_share_the_length_between_two_directions() -> None:
    down, right = gradients(window())
    assert torch.allclose(direction_votes(window(), 9).sum(1), torch.hypot(down, right))


def test_a_pixel_counts_once_inside_a_block_before_the_gaussian() -> None:
    weights = cell_weights(8, 2, torch.float64).sum(0)
    pixel = torch.arange(16, dtype=torch.float64)
    gaussian = torch.exp(-(pixel - 8).square() / 32)
    inner = slice(4, 12)  # between the middles of the cells; outside, a part belongs to cells of other blocks
    assert torch.allclose(weights[inner, inner], (gaussian[:, None] * gaussian)[inner, inner])
