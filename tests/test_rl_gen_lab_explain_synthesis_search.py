"""The search, and the slopes of its terms."""

from __future__ import annotations

import torch

from rl_gen_lab.explain.synthesis.search import minimize, out_of_range, total_variation


def test_total_variation_is_0_for_one_color_and_the_length_of_an_edge() -> None:
    assert float(total_variation(torch.full((1, 3, 5, 5), 0.7))) == 0
    step = torch.zeros(1, 1, 11, 11, dtype=torch.float64)
    step[..., 5:] = 1
    assert (
        abs(float(total_variation(step, 1e-9)) - 10 / 100) < 1e-6
    )  # one pixel in each of ten rows of a hundred places


def test_the_slope_of_total_variation_is_that_of_differences() -> None:
    pictures = torch.rand(1, 2, 4, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert torch.autograd.gradcheck(total_variation, pictures.requires_grad_())
    assert torch.autograd.gradcheck(out_of_range, (3 * pictures.detach() - 1).requires_grad_())


def test_the_search_finds_the_least_of_a_valley_and_keeps_the_best() -> None:
    goal = torch.rand(1, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    weights = torch.logspace(0, 1, goal.numel()).reshape(goal.shape)
    steps: list[int] = []
    found = minimize(lambda x: (weights * (x - goal).square()).mean(), torch.zeros_like(goal), 60, steps.append)
    assert (found - goal).abs().max() < 1e-3 and 0 < steps[-1] <= 60


def test_a_loss_without_a_least_ends_the_search_with_the_best_that_it_found() -> None:
    found = minimize(lambda x: -(x * 1e-12).mean(), torch.zeros(1, 3, 4, 4), 60)
    assert bool(found.isfinite().all())
