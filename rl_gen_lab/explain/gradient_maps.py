"""Maps from gradients. All take frames (B, C, H, W) float32 and return signed maps of the same shape."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.explain.model import Explained, in_batches
from rl_gen_lab.explain.relus import GuidedReLU, ReplacedReLUs

SMOOTH_SAMPLES, SMOOTH_LEVELS = 16, 4.0  # of SmoothGrad: noisy copies, standard deviation of the noise [gray levels]
PATH_POINTS, MOST_POINTS, COMPLETE = 32, 512, 0.01  # of integrated gradients: nodes; error as a share of the sum


def gradient(model: Explained, frames: Tensor, chosen: Tensor) -> Tensor:
    """Return the gradient. Source: Simonyan et al. 2014, "Deep Inside Convolutional Networks", section 3."""
    return in_batches(model.gradients, frames, chosen)


def gradient_x_input(model: Explained, frames: Tensor, chosen: Tensor) -> Tensor:
    """Return gradient times (frame - baseline). Source: Shrikumar et al. 2017 (arXiv 1605.01713), section 2."""
    return gradient(model, frames, chosen) * (frames - model.baseline)


def smooth_gradient(
    model: Explained,
    frames: Tensor,
    chosen: Tensor,
    samples: int = SMOOTH_SAMPLES,
    levels: float = SMOOTH_LEVELS,
    seed: int = 0,
) -> Tensor:
    """Return the mean gradient over noisy copies. levels: standard deviation of the noise [gray levels of 255].

    Source: Smilkov et al. 2017, "SmoothGrad", section 2.
    """
    draws = torch.Generator().manual_seed(seed)
    total = torch.zeros_like(frames)
    for _ in range(samples):
        noise = torch.randn(frames.shape, generator=draws, dtype=frames.dtype)
        total += gradient(model, frames + levels * noise, chosen)
    return total / samples


def integrated_gradients(
    model: Explained, frames: Tensor, chosen: Tensor, points: int = PATH_POINTS, baseline: Tensor | None = None
) -> Tensor:
    """Return the integral of the gradient on the straight path from the baseline, times (frame - baseline).

    The sum over a map is the number of the frame minus that of the baseline, up to the error of the quadrature
    (Gauss-Legendre). points: its nodes, doubled up to `MOST_POINTS` for the frames where it errs by more than
    `COMPLETE` of that difference (of the mean difference, where a frame's own is smaller): a network of ReLUs has kinks
    all along the path. Source: Sundararajan et al. 2017, "Axiomatic Attribution", eq. 1 and proposition 1.
    baseline: (C, H, W), instead of the model's own.
    """
    start = model.baseline if baseline is None else baseline
    way = frames - start
    with torch.no_grad():
        ends = (frames, start.expand(frames.shape))
        there, here = (in_batches(model.scores, end, chosen).double() for end in ends)
    allowed = COMPLETE * (there - here).abs().clamp(min=float((there - here).abs().mean()))
    maps, rows = torch.empty_like(frames), torch.arange(len(frames))
    while len(rows):
        maps[rows] = way[rows] * _mean_gradient(model, start, way[rows], chosen[rows], points)
        errs = (maps[rows].double().flatten(1).sum(1) - (there - here)[rows]).abs()
        points *= 2
        rows = rows[errs > allowed[rows]] if points <= MOST_POINTS else rows[:0]
    return maps


def _mean_gradient(model: Explained, start: Tensor, way: Tensor, chosen: Tensor, points: int) -> Tensor:
    """Return the mean gradient on the path from `start` along `way`, by Gauss-Legendre quadrature."""
    total = torch.zeros_like(way)
    for node, weight in zip(*np.polynomial.legendre.leggauss(points), strict=True):
        total += float(weight / 2) * gradient(model, start + float((node + 1) / 2) * way, chosen)
    return total


def guided_backpropagation(model: Explained, frames: Tensor, chosen: Tensor) -> Tensor:
    """Return the gradient through guided ReLUs. Raises: ConfigError for a network without a ReLU.

    Source: Springenberg et al. 2015, "Striving for Simplicity: The All Convolutional Net", section 3.4.
    """
    with ReplacedReLUs(GuidedReLU.apply) as mode:
        maps = gradient(model, frames, chosen)
    if not mode.met:
        raise ConfigError("guided backpropagation needs ReLUs, and this network has none: choose another method")
    return maps
