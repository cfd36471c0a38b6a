"""Maps from gradients: against numbers that are known on paper."""

from __future__ import annotations

import pytest
import torch
from explained_models import Linear, curved, explained
from torch import Tensor, nn

from rl_gen_lab.backbones import build
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.explain import gradient_maps
from rl_gen_lab.explain.model import Explained

SHAPE = (1, 5, 5)


def linear() -> tuple[Explained, Tensor, Tensor, Tensor]:
    """A question to sums of pixels; its gradient is the first weight less the second."""
    network = Linear(SHAPE)
    frames = torch.randn(2, *SHAPE, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    weight = (network.weight[0] - network.weight[1]).detach()
    return explained(network, SHAPE, 0.5), frames, torch.zeros(2, dtype=torch.int64), weight


def test_maps_of_a_sum_of_pixels_are_its_weights() -> None:
    model, frames, chosen, weight = linear()
    expected = weight.expand(frames.shape)
    torch.testing.assert_close(gradient_maps.gradient(model, frames, chosen), expected)
    torch.testing.assert_close(gradient_maps.smooth_gradient(model, frames, chosen), expected)
    times = weight * (frames - 0.5)
    torch.testing.assert_close(gradient_maps.gradient_x_input(model, frames, chosen), times)
    torch.testing.assert_close(gradient_maps.integrated_gradients(model, frames, chosen), times)


def test_integrated_gradients_of_a_kink_are_those_on_paper() -> None:
    """relu(x + y - 1) from (0, 0) to (1, 1): the gradient is 1 on the second half of the path."""
    network = nn.Linear(2, 1, dtype=torch.float64)
    with torch.no_grad():
        network.weight.fill_(1.0)
        network.bias.fill_(-1.0)
    score = lambda net, frames, chosen: net(frames.flatten(1)).relu()[:, 0]  # noqa: E731
    model = Explained(network, score, torch.zeros(1, 1, 2, dtype=torch.float64))
    frames = torch.ones(1, 1, 1, 2, dtype=torch.float64)
    maps = gradient_maps.integrated_gradients(model, frames, torch.zeros(1, dtype=torch.int64))
    assert maps.flatten().tolist() == pytest.approx([0.5, 0.5], abs=0.005)


def test_integrated_gradients_are_complete_within_a_hundredth() -> None:
    torch.manual_seed(0)
    backbone = nn.Sequential(build("small", (4, 84, 84)), nn.Linear(256, 3)).eval()
    model = explained(backbone, (4, 84, 84), 87.0)
    frames, chosen = 255 * torch.rand(1, 4, 84, 84), torch.tensor([1])
    maps = gradient_maps.integrated_gradients(model, frames, chosen)
    with torch.no_grad():
        wanted = model.scores(frames, chosen) - model.scores(model.baseline.expand(frames.shape), chosen)
    missed = (maps.flatten(1).sum(1) - wanted).abs()
    assert float(missed.max() / wanted.abs().mean()) < 0.01
    few = gradient_maps.integrated_gradients(model, frames, chosen, points=1_024)  # no doubling: as an oracle
    assert float((maps - few).norm() / few.norm()) < 0.1


def test_another_baseline_gives_another_answer() -> None:
    model, frames, chosen, weight = linear()
    black = gradient_maps.integrated_gradients(model, frames, chosen, baseline=torch.zeros(SHAPE, dtype=torch.float64))
    torch.testing.assert_close(black, weight * frames)


def test_smoothgrad_is_the_mean_over_its_own_noise() -> None:
    model, frames, chosen = curved()
    draws = torch.Generator().manual_seed(7)
    noise = [torch.randn(frames.shape, generator=draws, dtype=frames.dtype) for _ in range(3)]
    expected = torch.stack([model.gradients(frames + 0.5 * one, chosen) for one in noise]).mean(0)
    found = gradient_maps.smooth_gradient(model, frames, chosen, samples=3, levels=0.5, seed=7)
    torch.testing.assert_close(found, expected)


def test_guided_backpropagation_without_a_relu_is_refused() -> None:
    model, frames, chosen, _ = linear()
    with pytest.raises(ConfigError, match="needs ReLUs"):
        gradient_maps.guided_backpropagation(model, frames, chosen)
