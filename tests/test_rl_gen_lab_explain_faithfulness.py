"""Deletion, insertion, infidelity, sensitivity and randomized layers, where the answer is known."""

from __future__ import annotations

import numpy as np
import torch
from explained_models import Linear, curved, explained

from rl_gen_lab.explain import faithfulness
from rl_gen_lab.explain.gradient_maps import gradient, gradient_x_input

SHAPE = (1, 20, 20)


def weighted() -> tuple[faithfulness.Explained, torch.Tensor, torch.Tensor]:
    """A sum of pixels in which four count, of a frame of ones."""
    network = Linear(SHAPE)
    with torch.no_grad():
        network.weight.zero_()
        network.weight[0, 0, 3:5, 3:5] = 1.0
    return explained(network, SHAPE), torch.ones(1, *SHAPE, dtype=torch.float64), torch.zeros(1, dtype=torch.int64)


def test_the_right_order_deletes_the_number_first_and_inserts_it_first() -> None:
    model, frames, chosen = weighted()
    right = gradient_x_input(model, frames, chosen)
    curve = faithfulness.deletion(model, frames, chosen, right, "mean")[0]
    assert curve[0] == 4.0 and curve[faithfulness.SHARES.index(0.01)] == 0.0  # 4 of 400 pixels
    inserted = faithfulness.deletion(model, frames, chosen, right, "mean", keep=True)[0]
    assert inserted[0] == 0.0 and inserted[faithfulness.SHARES.index(0.01)] == 4.0
    wrong = faithfulness.deletion(model, frames, chosen, 1 - right, "mean")[0]
    assert wrong[faithfulness.SHARES.index(0.64)] == 4.0
    assert faithfulness.area_under(curve[None])[0] < faithfulness.area_under(wrong[None])[0]


def test_a_blurred_fill_of_an_even_frame_changes_nothing() -> None:
    model, frames, chosen = weighted()
    curve = faithfulness.deletion(model, frames, chosen, torch.rand(1, *SHAPE), "blur")[0]
    np.testing.assert_allclose(curve, 4.0)


def test_infidelity_is_zero_for_the_gradient_of_a_sum_and_one_for_a_map_of_nothing() -> None:
    model, frames, chosen = weighted()
    exact = faithfulness.infidelity(model, frames, chosen, gradient(model, frames, chosen))
    assert exact[0] < 1e-20
    assert faithfulness.infidelity(model, frames, chosen, torch.zeros(1, *SHAPE, dtype=torch.float64))[0] == 1.0
    assert faithfulness.infidelity(model, frames, chosen, torch.randn(1, *SHAPE, dtype=torch.float64))[0] > 0.3


def test_the_gradient_of_a_sum_does_not_move_and_that_of_a_curve_does() -> None:
    model, frames, chosen = weighted()
    assert faithfulness.max_sensitivity(gradient, model, frames, chosen, gradient(model, frames, chosen))[0] == 0.0
    model, frames, chosen = curved()
    assert faithfulness.max_sensitivity(gradient, model, frames, chosen, gradient(model, frames, chosen)).min() > 0.01


def test_a_map_of_the_frame_alone_does_not_notice_that_the_network_is_random() -> None:
    model, frames, chosen = curved()
    blind = faithfulness.cascade(lambda m, x, c: x, model, frames, chosen, frames)
    assert all((rows == 1.0).all() for rows in blind.values())
    seeing = faithfulness.cascade(gradient, model, frames, chosen, gradient(model, frames, chosen))
    assert list(seeing) == ["fc", "conv.2", "conv.0"]
    assert seeing["conv.0"].mean() < 0.8


def test_the_top_of_a_map_is_at_least_a_pixel_and_at_most_all() -> None:
    maps = torch.arange(9.0).view(1, 1, 3, 3) - 4
    assert faithfulness.top(maps, 1e-6).sum() == 1 and faithfulness.top(maps, 0.0).sum() == 0
    assert faithfulness.top(maps, 1.0).all()
    assert set(faithfulness.top(maps, 2 / 9).flatten().nonzero().flatten().tolist()) == {0, 8}
