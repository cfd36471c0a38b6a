"""The number that is explained, and its gradient."""

from __future__ import annotations

import pytest
import torch
from explained_models import Linear, curved, explained

from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.explain.model import gap, in_batches, log_probability


def test_a_gap_is_the_chosen_output_less_the_mean_of_the_others() -> None:
    outputs = torch.tensor([[3.0, 1.0, 5.0], [0.0, 4.0, 2.0]])
    assert gap(outputs, torch.tensor([2, 0])).tolist() == [3.0, -3.0]


def test_a_log_probability_is_normalized() -> None:
    outputs = torch.tensor([[0.0, 0.0]])
    assert float(log_probability(outputs, torch.tensor([1]))) == pytest.approx(-0.693147, abs=1e-6)


def test_the_gradient_agrees_with_finite_differences() -> None:
    model, frames, chosen = curved()
    found, step = model.gradients(frames, chosen), 1e-6
    for pixel in [(0, 1, 3, 4), (1, 0, 7, 7), (2, 1, 0, 0)]:
        moved = torch.zeros_like(frames)
        moved[pixel] = step
        slope = (model.scores(frames + moved, chosen) - model.scores(frames - moved, chosen))[pixel[0]] / (2 * step)
        assert float(found[pixel]) == pytest.approx(float(slope.detach()), abs=1e-6)


def test_a_number_without_a_gradient_is_refused_with_a_way_out() -> None:
    model, frames, chosen = curved()
    flat = model.with_network(Linear((2, 12, 12)))
    rounded = explained(flat.network, (2, 12, 12))
    cut = type(rounded)(rounded.network, lambda net, x, c: net(x.detach())[:, 0].detach(), rounded.baseline)
    with pytest.raises(ConfigError, match="choose occlusion, blur or rise"):
        cut.gradients(frames, chosen)
    apart = type(rounded)(rounded.network, lambda net, x, c: net.weight.sum().expand(len(x)), rounded.baseline)
    with pytest.raises(ConfigError, match="no gradient reaches the frame"):
        apart.gradients(frames, chosen)


def test_bytes_have_no_gradient() -> None:
    model, frames, chosen = curved()
    with pytest.raises(ConfigError, match="give them as floats from 0 to 255"):
        model.gradients(frames.byte(), chosen)


def test_batches_join_to_the_whole() -> None:
    rows = torch.arange(10)
    assert in_batches(lambda a, b: a + b, rows, rows, size=3).tolist() == (2 * rows).tolist()
