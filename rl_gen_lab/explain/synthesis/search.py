"""Searching for a picture: L-BFGS on a loss of pixels, and the terms that keep a picture one."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

SMOOTHING = 1e-3  # of the square root of total variation, which has no slope at 0


def total_variation(pictures: Tensor, smoothing: float = SMOOTHING) -> Tensor:
    """Return the mean size of the slope between neighboring pixels, over pictures (B, C, H, W); a number.

    sqrt(dx² + dy² + smoothing²) - smoothing of each pixel that has a neighbor to its right and one below.
    Source: Rudin, Osher & Fatemi 1992, "Nonlinear total variation based noise removal algorithms".
    """
    dx = pictures[..., :-1, 1:] - pictures[..., :-1, :-1]
    dy = pictures[..., 1:, :-1] - pictures[..., :-1, :-1]
    return ((dx.square() + dy.square() + smoothing**2).sqrt() - smoothing).mean()


def out_of_range(pictures: Tensor) -> Tensor:
    """Return the mean squared distance of pixels to the range from 0 to 1."""
    return (pictures - pictures.clamp(0, 1)).square().mean()


def minimize(
    loss: Callable[[Tensor], Tensor], start: Tensor, iterations: int, on_step: Callable[[int], None] = lambda done: None
) -> Tensor:
    """Return the pixels that L-BFGS finds from a start, the best of all that it tried.

    on_step: gets the number of iterations begun, about: the search along a line takes a second look now and then.
    Source: Liu & Nocedal 1989, "On the limited memory BFGS method"; a line search by the strong Wolfe conditions.
    """
    pixels = start.detach().clone().requires_grad_()
    optimizer = torch.optim.LBFGS(
        *([pixels], 1.0, iterations, 2 * iterations), 0, 0, history_size=20, line_search_fn="strong_wolfe"
    )
    best, least, tried = start.detach().clone(), float("inf"), 0

    def closure() -> Tensor:
        nonlocal best, least, tried
        optimizer.zero_grad()
        value = pixels.numel() * loss(pixels)  # a mean's slopes are too small for the first step of the search
        value.backward()
        if -math.inf < value.item() < least and bool(pixels.isfinite().all()):
            best, least = pixels.detach().clone(), value.item()
        on_step(min(tried, iterations))
        tried += 1
        return value

    try:
        optimizer.step(closure)
    except RuntimeError as error:
        if "without overflow" not in str(error):
            raise
        # along a loss that is all but flat a step grows beyond every number: what was found stands
    return best
