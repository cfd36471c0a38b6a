"""Losses of linear classifiers: their first values, their gradients, their minima."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from classic_numbers import digits, tensor
from torch import Tensor
from torch.nn import functional as F

from rl_gen_lab.classic.linear import (
    entropy_by_category,
    half_squared_norm,
    hinge_by_category,
    hinge_max,
    hinge_sum,
    loss_of,
    zero_linear,
)


@pytest.mark.parametrize("classes", [2, 10, 37])
def test_before_learning_the_sum_of_hinges_is_the_number_of_wrong_classes(classes: int) -> None:
    scores = zero_linear(5, classes)(torch.randn(8, 5)).detach()
    labels = torch.arange(8) % classes
    assert float(hinge_sum(scores, labels)) == classes - 1
    assert float(hinge_max(scores, labels)) == 1
    assert float(F.cross_entropy(scores, labels)) == pytest.approx(torch.tensor(classes).log().item(), abs=1e-6)


def test_small_weights_begin_within_a_thousandth_of_it() -> None:
    points, labels = digits()
    weights = 1e-4 * torch.randn(64, 10, generator=torch.Generator().manual_seed(0)).double()
    assert abs(float(hinge_sum(points @ weights / 16, labels)) - 9) < 1e-3


def test_hinges_of_a_case_on_paper() -> None:
    scores, labels = torch.tensor([[3.2, 5.1, -1.7], [1.3, 4.9, 2.0]]), torch.tensor([0, 1])
    assert float(hinge_sum(scores, labels)) == pytest.approx(2.9 / 2)  # 5.1 - 3.2 + 1; the second image: 0
    assert float(hinge_max(scores, labels)) == pytest.approx(2.9 / 2)
    assert float(hinge_by_category(torch.tensor([[0.5, -3.0]]), torch.tensor([[1.0, 0.0]]))) == 0.5


@pytest.mark.parametrize("loss", [hinge_sum, hinge_max, F.cross_entropy])
def test_gradients_of_one_class(loss: Callable[[Tensor, Tensor], Tensor]) -> None:
    scores = torch.randn(6, 4, generator=torch.Generator().manual_seed(1)).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda values: loss(values, torch.tensor([0, 1, 2, 3, 0, 2])), (scores,))


@pytest.mark.parametrize("loss", [hinge_by_category, entropy_by_category])
def test_gradients_by_category(loss: Callable[[Tensor, Tensor], Tensor]) -> None:
    scores = torch.randn(6, 4, generator=torch.Generator().manual_seed(1)).double().requires_grad_()
    present = (torch.randn(6, 4, generator=torch.Generator().manual_seed(2)) > 0).double()
    assert torch.autograd.gradcheck(lambda values: loss(values, present), (scores,))


def test_the_objective_of_crammer_and_singer_reaches_scikit_learns() -> None:
    points, labels = digits()
    points, labels = points[:200] / 16, labels[:200]
    weights = torch.zeros(10, 64, dtype=torch.float64, requires_grad=True)

    def objective(sharpness: float | None) -> Tensor:
        """With the largest hinge, or one that is rounded off, which L-BFGS needs."""
        scores = points @ weights.T
        if sharpness is None:
            return 200 * hinge_max(scores, labels) + half_squared_norm(weights)
        hinges = (scores - scores.gather(1, labels[:, None]) + 1).scatter(1, labels[:, None], 0.0)
        return (torch.logsumexp(sharpness * hinges, 1) / sharpness).sum() + half_squared_norm(weights)

    for sharpness in (100.0, 10_000.0):
        optimizer = torch.optim.LBFGS([weights], max_iter=200, line_search_fn="strong_wolfe", tolerance_change=1e-12)

        def closure(sharpness: float = sharpness, optimizer: torch.optim.Optimizer = optimizer) -> float:
            optimizer.zero_grad()
            value = objective(sharpness)
            value.backward()  # type: ignore[no-untyped-call]
            return float(value.detach())

        optimizer.step(closure)
    theirs = float(tensor("crammer_singer"))
    assert theirs * (1 - 1e-6) <= float(objective(None).detach()) < theirs * 1.001  # nothing is below the minimum


def test_the_loss_follows_the_model() -> None:
    scores, truth = torch.randn(4, 3), torch.eye(3)[[0, 1, 2, 0]]
    labels = truth.argmax(1)
    assert loss_of("svm", "sum", scores, truth, True) == hinge_sum(scores, labels)
    assert loss_of("svm", "max", scores, truth, True) == hinge_max(scores, labels)
    assert loss_of("softmax", "sum", scores, truth, True) == F.cross_entropy(scores, labels)
    assert loss_of("softmax", "sum", scores, truth, False) == entropy_by_category(scores, truth)
