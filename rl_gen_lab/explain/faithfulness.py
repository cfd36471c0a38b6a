"""Whether a map says what the network does: deletion and insertion, infidelity, sensitivity, randomized layers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from rl_gen_lab.explain.layers import learned_layers, randomized
from rl_gen_lab.explain.model import Explained, in_batches
from rl_gen_lab.explain.perturbation import blurred
from rl_gen_lab.explain.statistics import spearman

SHARES = (0.0, 0.0025, 0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.0)  # of the pixels of a frame
FILL_RADIUS = 5.0  # standard deviation of the blur that fills [px]
LEVELS = 2.0  # perturbation of infidelity and sensitivity [gray levels]
Method = Callable[[Explained, Tensor, Tensor], Tensor]

# What stands where pixels were deleted, by name: the mean frame, which frames of the game resemble, or a blurred copy.
FILLS: dict[str, Callable[[Explained, Tensor], Tensor]] = {
    "mean": lambda model, frames: model.baseline.expand(frames.shape),
    "blur": lambda model, frames: blurred(frames, FILL_RADIUS),
}


def reduced(maps: Tensor) -> Tensor:
    """Return the strength of each place, (B, H, W): the largest absolute value over the channels."""
    return maps.abs().amax(1)


def top(maps: Tensor, share: float) -> Tensor:
    """Return the pixels of the largest strengths, (B, 1, H, W) bool: `share` of the frame, at least one if above 0."""
    strength = reduced(maps).flatten(1)
    count = round(share * strength.shape[1]) or int(share > 0)
    chosen = torch.zeros(strength.shape, dtype=torch.bool)
    if count:
        chosen.scatter_(1, strength.topk(count, 1).indices, True)
    return chosen.view(len(maps), 1, *maps.shape[2:])


@torch.no_grad()
def deletion(
    model: Explained, frames: Tensor, chosen: Tensor, maps: Tensor, fill: str, keep: bool = False
) -> np.ndarray:
    """Return the number when more and more of the largest pixels are deleted, (B, `SHARES`).

    keep: insertion; these pixels alone are kept, and all others deleted. fill: of `FILLS`.
    Source: Petsiuk et al. 2018, "RISE", section 4.1.
    """
    filled = FILLS[fill](model, frames)
    columns = []
    for share in SHARES:
        largest = top(maps, share)
        shown = torch.where(largest, frames, filled) if keep else torch.where(largest, filled, frames)
        columns.append(in_batches(model.scores, shown, chosen, size=256))
    return torch.stack(columns, 1).double().numpy()


def area_under(curves: np.ndarray) -> np.ndarray:
    """Return the mean number of each curve, (B,), every share of `SHARES` but the ends counting alike.

    Most objects cover less than a hundredth of a frame: on an axis of equal steps they would lie in its first one.
    """
    return curves[:, 1:-1].mean(1)


@torch.no_grad()
def infidelity(
    model: Explained, frames: Tensor, chosen: Tensor, maps: Tensor, draws: int = 10, seed: int = 0
) -> np.ndarray:
    """Return the mean squared error of predicting changes of the number from the map, (B,).

    Pixels get normal noise of `LEVELS`; predicted is the sum of noise times map. Both are scaled as in the paper: the
    map by the factor that fits best. Divided by the mean squared change, so that 1 is what a map of zeros gets.
    Source: Yeh et al. 2019, "On the (In)fidelity and Sensitivity of Explanations", definition 2.1, and section 3.
    """
    generator = torch.Generator().manual_seed(seed)
    before = in_batches(model.scores, frames, chosen, size=256)
    predicted, changed = [], []
    for _ in range(draws):
        noise = LEVELS * torch.randn(frames.shape, generator=generator, dtype=frames.dtype)
        predicted.append((noise * maps).flatten(1).sum(1))
        changed.append(before - in_batches(model.scores, frames - noise, chosen, size=256))
    guess, truth = torch.stack(predicted).double(), torch.stack(changed).double()
    factor = (guess * truth).sum(0) / guess.square().sum(0).clamp(min=1e-30)
    error = (factor * guess - truth).square().mean(0)
    return (error / truth.square().mean(0).clamp(min=1e-30)).numpy()


def max_sensitivity(
    method: Method, model: Explained, frames: Tensor, chosen: Tensor, maps: Tensor, draws: int = 3, seed: int = 0
) -> np.ndarray:
    """Return the largest relative change of a map when the frame changes by up to `LEVELS` in each pixel, (B,).

    Source: Yeh et al. 2019, definition 4.1; the largest of some draws, as in captum.
    """
    generator = torch.Generator().manual_seed(seed)
    size = maps.flatten(1).norm(dim=1).clamp(min=1e-30)
    largest = torch.zeros(len(frames), dtype=frames.dtype)
    for _ in range(draws):
        noise = LEVELS * (2 * torch.rand(frames.shape, generator=generator, dtype=frames.dtype) - 1)
        moved = method(model, frames + noise, chosen)
        largest = torch.maximum(largest, (moved - maps).flatten(1).norm(dim=1) / size)
    return largest.double().numpy()


def similarity(first: Tensor, second: Tensor) -> np.ndarray:
    """Return the rank correlation of each two maps' strengths, (B,)."""
    pairs = zip(reduced(first).double().numpy(), reduced(second).double().numpy(), strict=True)
    return np.array([spearman(a, b) for a, b in pairs])


def cascade(
    method: Method, model: Explained, frames: Tensor, chosen: Tensor, maps: Tensor, seed: int = 0
) -> dict[str, np.ndarray]:
    """Return the rank correlation (B,) of the maps with those after the output layer, then ever more layers, is random.

    By the name of the last layer that was made random. Source: Adebayo et al. 2018, "Sanity Checks for Saliency Maps",
    section 3.1.
    """
    found, names = {}, list[str]()
    for group in learned_layers(model.network):
        names += group
        other = model.with_network(randomized(model.network, names, seed))
        found[group[0]] = similarity(maps, method(other, frames, chosen))
    return found
