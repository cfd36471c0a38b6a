"""Backbones for vectors."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from rl_gen_lab.backbones import build
from rl_gen_lab.backbones.vector import MLP


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_the_mlp_is_two_hidden_layers_with_relu() -> None:
    mlp = MLP((3,), width=16)
    assert [m.out_features for m in mlp.modules() if isinstance(m, nn.Linear)] == [16, 16]
    assert count(mlp) == 3 * 16 + 16 + 16 * 16 + 16
    x = torch.randn(5, 3)
    first, second = (m for m in mlp.modules() if isinstance(m, nn.Linear))
    torch.testing.assert_close(mlp(x), F.relu(second(F.relu(first(x)))))
    assert build("mlp", (3,)).out_features == MLP((3,)).out_features


@pytest.mark.parametrize(
    ("name", "width", "activation"),
    [("mlp", 256, nn.ReLU), ("mlp_small", 128, nn.ReLU), ("mlp_tanh", 64, nn.Tanh)],
)
def test_networks_for_vectors_have_two_layers_of_their_width(
    name: str, width: int, activation: type[nn.Module]
) -> None:
    linear, active, second, _ = build(name, (4,)).layers  # type: ignore[misc]
    assert (linear.in_features, linear.out_features, second.out_features) == (4, width, width)
    assert isinstance(active, activation)
