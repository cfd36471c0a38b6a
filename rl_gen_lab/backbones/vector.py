"""Backbone for vectors (B, D)."""

from __future__ import annotations

from torch import Tensor, nn


class MLP(nn.Module):
    """Two hidden layers of `width`, as CleanRL and Stable-Baselines3 use them for classic control.

    activation: ReLU, usual for DQN, or Tanh, usual for policy gradients on vectors.
    """

    def __init__(self, shape: tuple[int, ...], width: int = 256, activation: type[nn.Module] = nn.ReLU) -> None:
        super().__init__()
        (features,) = shape
        self.layers = nn.Sequential(nn.Linear(features, width), activation(), nn.Linear(width, width), activation())
        self.out_features = width

    def forward(self, vectors: Tensor) -> Tensor:
        """vectors: (B, D) float32 -> (B, out_features) float32, in the range of the activation."""
        for layer in self.layers:  # not through nn.Sequential: its own call costs as much as a small layer
            vectors = layer(vectors)
        return vectors


def mlp_small(shape: tuple[int, ...]) -> MLP:
    """An MLP of half the width: for environments of a few numbers."""
    return MLP(shape, width=128)


def mlp_tanh(shape: tuple[int, ...]) -> MLP:
    """An MLP of two layers of 64 with Tanh, as Stable-Baselines3 and CleanRL use it for policy gradients."""
    return MLP(shape, width=64, activation=nn.Tanh)
