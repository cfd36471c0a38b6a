"""Inversion: all of a frame comes back from a layer that keeps all, half from one that keeps half, none from none."""

from __future__ import annotations

import pytest
import torch

from rl_gen_lab.explain.synthesis.inversion import invert

MEAN = torch.full((1, 8, 8), 120.0)


def frame() -> torch.Tensor:
    return MEAN + 60 * torch.randn(1, 8, 8, generator=torch.Generator().manual_seed(0)).clamp(-2, 2)


def test_what_a_layer_keeps_comes_back_and_nothing_else() -> None:
    shown = frame()
    upper = torch.zeros(1, 8, 8)
    upper[:, :4] = 1
    share = float(((shown - MEAN) * upper).square().sum() / (shown - MEAN).square().sum())
    for mask, kept in ((torch.ones(1, 8, 8), 1.0), (upper, share)):
        found = invert(lambda x, mask=mask: x * mask, shown, MEAN, variation=1e-4, noise=0.0)  # type: ignore[misc]
        assert found.kept == pytest.approx(kept, abs=0.05) and found.features_error < 0.01


def test_total_variation_chooses_the_smooth_one_of_equal_frames() -> None:
    shown = MEAN.clone()
    shown[:, 2:6, 2:6] += 80

    def mean_of_four(frames: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.avg_pool2d(frames, 2)

    rough, smooth = (invert(mean_of_four, shown, MEAN, variation=weight, noise=1.0, seed=1) for weight in (0.0, 0.05))
    assert rough.features_error < 1e-3 and smooth.kept > rough.kept + 0.2 and smooth.kept > 0.9
