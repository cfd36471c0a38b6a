"""Nearest neighbors against scikit-learn's."""

from __future__ import annotations

import pytest
import torch
from classic_numbers import digits, tensor

from rl_gen_lab.classic.neighbors import vote


@pytest.mark.parametrize(("neighbors", "accuracy"), [(1, 0.9611), (3, 0.9633), (5, 0.9555)])
def test_predictions_on_digits_are_scikit_learns(neighbors: int, accuracy: float) -> None:
    points, classes = digits()
    truth = torch.eye(10)[classes]
    found = vote(points[898:], points[:898], truth[:898], neighbors).argmax(1)
    nearest = torch.cdist(points[898:], points[:898]).topk(neighbors + 1, largest=False).values
    tied = (nearest[:, -1] - nearest[:, -2]).abs() < 1e-9  # either of two equally distant points may vote
    assert torch.equal(found[~tied], tensor(f"knn{neighbors}").long()[~tied]) and tied.sum() <= 20
    assert float((found == classes[898:]).double().mean()) == pytest.approx(accuracy, abs=2e-3)


def test_categories_are_voted_for_one_by_one() -> None:
    known, truth = torch.tensor([[0.0], [1.0], [9.0]]), torch.tensor([[1, 0], [1, 1], [0, 0]], dtype=torch.uint8)
    assert vote(torch.tensor([[0.2]]), known, truth, 2).tolist() == [[1.0, 0.5]]
    assert vote(torch.tensor([[0.2]]), known, truth, 9).tolist() == [[pytest.approx(2 / 3), pytest.approx(1 / 3)]]
