"""Losses of distillation against scipy in float64, and examples worked out on paper."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import rel_entr, softmax
from torch import Tensor

from rl_gen_lab.compression.distillation import soft_target_loss, stakes, temperature_of


def scores(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(scale=3, size=shape)


def by_scipy(student: np.ndarray, teacher: np.ndarray, temperature: float) -> np.ndarray:
    """(B,) divergence of each example [nats]."""
    result: np.ndarray = rel_entr(softmax(teacher / temperature, 1), softmax(student, 1)).sum(1)
    return result


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.integers(1, 5), st.integers(2, 6), st.floats(0.1, 10))
def test_the_loss_is_the_mean_divergence_of_the_teacher_from_the_student(
    seed: int, batch: int, classes: int, temperature: float
) -> None:
    student, teacher = scores(seed, 2, batch, classes)
    loss = soft_target_loss(torch.tensor(student), torch.tensor(teacher), temperature)
    assert float(loss) == pytest.approx(by_scipy(student, teacher, temperature).mean(), rel=1e-9, abs=1e-12)


def test_weights_say_how_much_an_example_counts() -> None:
    student, teacher = scores(0, 2, 3, 4)
    weight = np.array([0.5, 0.0, 2.0])
    loss = soft_target_loss(torch.tensor(student), torch.tensor(teacher), 2.0, torch.tensor(weight))
    assert float(loss) == pytest.approx(np.average(by_scipy(student, teacher, 2.0), weights=weight), rel=1e-12)
    same = soft_target_loss(torch.tensor(student), torch.tensor(teacher), 2.0, torch.full((3,), 7.0).double())
    assert float(same) == pytest.approx(by_scipy(student, teacher, 2.0).mean(), rel=1e-12)
    nothing = soft_target_loss(torch.tensor(student), torch.tensor(teacher), 2.0, torch.zeros(3))
    assert float(nothing) == 0


def test_a_temperature_may_be_a_tensor() -> None:
    student, teacher = (torch.tensor(x) for x in scores(1, 2, 3, 4))
    assert soft_target_loss(student, teacher, torch.tensor(0.5)) == soft_target_loss(student, teacher, 0.5)


def gradient(student: Tensor, teacher: Tensor, weight: Tensor | None) -> Tensor:
    student = student.clone().requires_grad_(True)
    soft_target_loss(student, teacher, 4.0, weight).backward()
    assert student.grad is not None
    return student.grad


@pytest.mark.parametrize("weight", [None, torch.tensor([1.0, 3.0, 0.2]).double()])
def test_nothing_is_to_be_learned_from_ones_own_scores(weight: Tensor | None) -> None:
    teacher = torch.tensor(scores(2, 3, 5))
    student = teacher / 4 + torch.tensor([[1.0], [-2.0], [30.0]])  # a constant says nothing
    assert float(soft_target_loss(student, teacher, 4.0, weight)) == pytest.approx(0, abs=1e-12)
    assert gradient(student, teacher, weight).abs().max() < 1e-12


def test_the_gradient_is_the_difference_of_the_probabilities() -> None:
    student, teacher = scores(3, 2, 3, 5)
    weight = np.array([1.0, 2.0, 5.0])
    expected = (softmax(student, 1) - softmax(teacher / 4, 1)) * weight[:, None] / weight.sum()
    found = gradient(torch.tensor(student), torch.tensor(teacher), torch.tensor(weight))
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-12)


def test_a_teacher_that_is_sure_gives_a_finite_loss() -> None:
    loss = soft_target_loss(torch.tensor([[0.0, 0.0]]), torch.tensor([[1e6, 0.0]]), 0.01)
    assert float(loss) == pytest.approx(np.log(2))


def test_the_temperature_is_a_quantile_of_the_lead_of_the_best_action() -> None:
    values = torch.tensor([[3.0, 0, 0], [9, 0, 0], [0, 0, 6]])  # leads over the mean: 2, 6, 4
    assert temperature_of(values, 0.5) == 4
    assert temperature_of(values, 1.0) == 6
    assert temperature_of(values, 0.25) == 3  # halfway between 2 and 4
    assert temperature_of(values - 100, 0.5) == 4
    assert temperature_of(10 * values, 0.5) == 40


def test_a_teacher_without_preferences_still_has_a_temperature() -> None:
    assert temperature_of(torch.full((4, 3), 2.5), 0.5) == 1e-6


def test_stakes_are_the_spans_of_the_values_by_their_mean() -> None:
    values = torch.tensor([[1.0, 3, 2], [6, 0, 0], [5, 5, 5], [-4, -8, -6]])  # spans 2, 6, 0, 4; mean 3
    torch.testing.assert_close(stakes(values), torch.tensor([2 / 3, 2, 0, 4 / 3]))
    assert not stakes(torch.ones(3, 2)).any()
