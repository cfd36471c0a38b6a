"""What a map must be better than: maps that no network made, and the maps of a network that never learned.

In many games a frame less its mean is nearly the mask of its objects: a map without any network "finds" them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from rl_gen_lab.explain.layers import randomized
from rl_gen_lab.explain.model import Explained


def distance_from_mean(model: Explained, frames: Tensor, seed: int = 0) -> Tensor:
    """Return |frame - baseline|, (B, C, H, W): no network."""
    return (frames - model.baseline).abs()


def frame_difference(model: Explained, frames: Tensor, seed: int = 0) -> Tensor:
    """Return how much each frame of a stack differs from the one before (the first: from the next)."""
    if frames.shape[1] == 1:
        return distance_from_mean(model, frames)
    moved = (frames[:, 1:] - frames[:, :-1]).abs()
    return torch.cat((moved[:, :1], moved), 1)


def random_map(model: Explained, frames: Tensor, seed: int = 0) -> Tensor:
    """Return uniform noise, (B, C, H, W)."""
    return torch.rand(frames.shape, generator=torch.Generator().manual_seed(seed), dtype=frames.dtype)


# Maps that need no network, by name.
NETWORK_FREE: dict[str, Callable[[Explained, Tensor, int], Tensor]] = {
    "distance from mean": distance_from_mean,
    "frame difference": frame_difference,
    "random": random_map,
}


def untrained(model: Explained, seed: int = 1) -> Explained:
    """Return the twin that never learned: the same layers with random weights, the same mean and scale of pixels."""
    return model.with_network(randomized(model.network, None, seed))


@dataclass(frozen=True)
class Controlled:
    """A method's maps beside its controls, all of the same frames. maps: (B, C, H, W) by name."""

    frames: Tensor
    chosen: Tensor
    own: Tensor
    twin: Tensor
    free: dict[str, Tensor]


def controlled(
    method: Callable[[Explained, Tensor, Tensor], Tensor],
    model: Explained,
    frames: Tensor,
    chosen: Tensor,
    seed: int = 0,
) -> Controlled:
    """Make a method's maps, those of the untrained twin for the same outputs, and those without a network."""
    own = method(model, frames, chosen)
    twin = method(untrained(model, seed + 1), frames, chosen)
    free = {name: make(model, frames, seed) for name, make in NETWORK_FREE.items()}
    return Controlled(frames, chosen, own, twin, free)
