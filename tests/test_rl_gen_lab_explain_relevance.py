"""LRP: nothing of the number gets lost, on every backbone, and the rules give what they give on paper."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from rl_gen_lab.backbones import build
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.explain.model import Explained, gap
from rl_gen_lab.explain.relevance import propagate, relevance


@pytest.mark.parametrize("backbone", ["small", "impala", "resnet", "densenet", "squeezenet"])
def test_relevance_and_what_layers_keep_sum_to_the_number(backbone: str) -> None:
    torch.manual_seed(0)
    features = build(backbone, (4, 84, 84))
    network = nn.Sequential(features, nn.Linear(features.out_features, 3)).eval()  # type: ignore[arg-type]
    model = Explained(network, lambda net, x, c: gap(net(x), c), torch.zeros(4, 84, 84))
    frames, chosen = 255 * torch.rand(2, 4, 84, 84), torch.tensor([0, 2])
    maps, kept = propagate(model, frames, chosen)
    numbers = model.scores(frames, chosen).detach()
    torch.testing.assert_close(maps.flatten(1).sum(1) + kept, numbers, rtol=1e-3, atol=1e-4)
    assert float(maps.abs().max()) > 0


def test_a_fully_connected_layer_hands_back_its_products_and_keeps_its_bias() -> None:
    layer = nn.Linear(2, 1, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[2.0, -1.0]]))
        layer.bias.fill_(0.5)
    model = Explained(layer, lambda net, x, c: net(x.flatten(1))[:, 0], torch.zeros(1, 1, 2, dtype=torch.float64))
    frames = torch.tensor([[[[3.0, 4.0]]]], dtype=torch.float64)
    maps, kept = propagate(model, frames, torch.zeros(1, dtype=torch.int64))
    assert maps.flatten().tolist() == pytest.approx([6.0, -4.0]) and float(kept) == pytest.approx(0.5)


def test_a_convolution_hands_back_to_positive_products_alone() -> None:
    """3 * 2 speaks for the output, 4 * -1 against it: all of 6 - 4 + 1 = 3 goes to the first pixel."""
    layer = nn.Conv2d(1, 1, (1, 2), dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[[[2.0, -1.0]]]]))
        layer.bias.fill_(1.0)  # type: ignore[union-attr]
    model = Explained(layer, lambda net, x, c: net(x).flatten(1).sum(1), torch.zeros(1, 1, 2, dtype=torch.float64))
    maps = relevance(model, torch.tensor([[[[3.0, 4.0]]]], dtype=torch.float64), torch.zeros(1, dtype=torch.int64))
    assert maps.flatten().tolist() == pytest.approx([3.0, 0.0], abs=1e-6)


def test_a_recurrent_network_is_refused() -> None:
    network = nn.LSTMCell(4, 4)
    model = Explained(network, lambda net, x, c: net(x.flatten(1))[0].sum(1), torch.zeros(1, 2, 2))
    with pytest.raises(ConfigError, match="no rule for LSTMCell"):
        relevance(model, torch.ones(1, 1, 2, 2), torch.zeros(1, dtype=torch.int64))
