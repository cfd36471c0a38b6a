"""Style: colors of the style's moments, losses that are 0 where they should be, a search between two pictures."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from rl_gen_lab.explain.synthesis import style
from rl_gen_lab.explain.synthesis.measures import judged
from rl_gen_lab.explain.synthesis.style import Weights


def pictures(side: int = 32) -> tuple[torch.Tensor, torch.Tensor]:
    """A bright square on dark ground, and colored stripes of four pixels."""
    content = torch.full((1, 3, side, side), 0.2)
    content[..., side // 4 : side // 2, side // 4 : side // 2] = 0.8
    stripes = (torch.arange(side) // 4 % 2).float().expand(1, 1, side, side)
    colors = torch.tensor([0.7, 0.4, 0.3]).reshape(1, 3, 1, 1)
    noise = 0.02 * torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    return content, (0.2 + colors * stripes + noise).clamp(0, 1)


def test_colors_get_the_moments_of_the_style() -> None:
    generator = torch.Generator().manual_seed(0)
    mixed = torch.rand(3, 3, generator=generator)
    content = 0.5 + 0.05 * torch.randn(1, 3, 40, 40, generator=generator)
    other = 0.5 + 0.1 * F.conv2d(torch.randn(1, 3, 30, 50, generator=generator), mixed[:, :, None, None] / 3)
    made = style.colored(content, other)[0].flatten(1)
    wanted = other[0].flatten(1)
    assert torch.allclose(made.mean(1), wanted.mean(1), atol=1e-4)
    assert torch.allclose(torch.cov(made), torch.cov(wanted), atol=1e-5)
    assert torch.allclose(style.colored(content, content), content, atol=1e-4)  # the least change is none


def test_a_power_of_a_matrix_undoes_its_inverse() -> None:
    root = torch.randn(3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    matrix = root @ root.T
    assert torch.allclose(style.power(matrix, 0.5) @ style.power(matrix, 0.5), matrix)
    assert torch.allclose(style.power(matrix, -0.5) @ style.power(matrix, 0.5), torch.eye(3).double(), atol=1e-8)


def test_losses_are_0_for_the_picture_itself_and_1_for_what_shows_nothing() -> None:
    content, other = pictures()
    loss = style.losses(content, other, Weights(1, 1, 0))
    assert float(loss(content, None)[0]) == 0 and float(loss(other, None)[1]) < 1e-10
    maps = torch.randn(1, 4, 6, 6, generator=torch.Generator().manual_seed(0))
    assert float(style.content_error(maps, maps + 3)) < 1e-10  # another color everywhere costs nothing
    assert float(style.content_error(torch.zeros_like(maps), maps)) == pytest.approx(1)
    assert torch.equal(loss(other, content)[0], loss(other, None)[0])  # the same contents, handed over


def test_the_search_comes_nearer_to_the_style_than_colors_do_and_keeps_the_square() -> None:
    content, other = pictures()
    steps: list[int] = []
    made = style.search(content, other, Weights(style=50), iterations=30, on_step=steps.append)
    assert made.shape == content.shape and made.min() >= 0 and made.max() <= 1 and steps[-1] <= 30
    assert judged(made, other) < judged(style.colored(content, other), other) / 3
    assert style.edges_kept(made, content) > 0.3 > style.edges_kept(other, content)
    assert style.edges_kept(content, content) == pytest.approx(1)
