"""Backbone for vectors (B, D)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class MLP(nn.Module):
    """Two hidden layers of `width`; CleanRL and Stable-Baselines3 use the like for classic control.

    activation: ReLU as DQNs have it, or Tanh as policy gradients on vectors mostly do.
    """

    def __init__(self, shape: tuple[int, ...], width: int = 256, activation: type[nn.Module] = nn.ReLU) -> None:
        super().__init__()
        (features,) = shape
        self.layers = nn.Sequential(nn.Linear(features, width), activation(), nn.Linear(width, width), activation())
        self.out_features = width

    def forward(self, vectors: Tensor) -> Tensor:
        """vectors: (B, D) float32 -> (B, out_features) float32, in the range of the activation."""
        features: Tensor = self.layers(vectors)
        return features


class FourierMLP(nn.Module):
    """An MLP that also reads sines and cosines of the vector, so that it tells small differences from the start.

    An MLP learns smooth functions first ("spectral bias"); whether a paddle meets a ball hangs on a tenth of its range.
    Source: Yang et al. 2022, "Overcoming the Spectral Bias of Neural Value Approximation": learned frequencies.
    """

    def __init__(self, shape: tuple[int, ...], width: int = 256, spread: float = 1.5) -> None:
        """spread: standard deviation of the first frequencies [radians a unit of the vector]."""
        super().__init__()
        (features,) = shape
        self.waves = nn.Linear(features, width // 2)
        nn.init.normal_(self.waves.weight, std=spread)
        nn.init.uniform_(self.waves.bias, -math.pi, math.pi)
        self.layers = MLP((features + 2 * (width // 2),), width)
        self.out_features = width

    def forward(self, vectors: Tensor) -> Tensor:
        """vectors: (B, D) float32 -> (B, out_features) float32, not negative."""
        phases = self.waves(vectors)
        features: Tensor = self.layers(torch.cat((vectors, phases.sin(), phases.cos()), -1))
        return features
