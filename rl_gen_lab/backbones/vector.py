"""Backbone for vectors (B, D)."""

from __future__ import annotations

from torch import Tensor, nn


class MLP(nn.Module):
    """Two hidden layers of `width` with ReLU; CleanRL and Stable-Baselines3 use the like for classic control."""

    def __init__(self, shape: tuple[int, ...], width: int = 256) -> None:
        super().__init__()
        (features,) = shape
        self.layers = nn.Sequential(nn.Linear(features, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
        self.out_features = width

    def forward(self, vectors: Tensor) -> Tensor:
        """vectors: (B, D) float32 -> (B, out_features) float32, at least 0."""
        features: Tensor = self.layers(vectors)
        return features
