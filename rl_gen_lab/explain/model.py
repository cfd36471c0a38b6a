"""What is explained: a network, the number that it gives for a frame, and the frame that stands for no information."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from rl_gen_lab.cli.errors import ConfigError

BATCH = 32  # frames in a pass
Score = Callable[[nn.Module, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Explained:
    """A network with one number to explain.

    score: the network, frames (B, C, H, W) float32 in [0, 255] and the chosen output of each, (B,) int64 (an action, an
    object) -> (B,), the number. baseline: (C, H, W) float32, the frame without information: the mean frame, not black.
    """

    network: nn.Module
    score: Score
    baseline: Tensor

    def scores(self, frames: Tensor, chosen: Tensor) -> Tensor:
        """Return the number of each frame, (B,)."""
        return self.score(self.network, frames, chosen)

    def with_network(self, network: nn.Module) -> Explained:
        """Return the same question put to another network."""
        return replace(self, network=network)

    def gradients(self, frames: Tensor, chosen: Tensor) -> Tensor:
        """Return the gradient of the number by each pixel, (B, C, H, W). Raises: ConfigError where there is none."""
        if not frames.is_floating_point():
            raise ConfigError(f"frames of {frames.dtype} have no gradient: give them as floats from 0 to 255")
        frames = frames.detach().clone().requires_grad_()
        with torch.enable_grad():
            scores = self.scores(frames, chosen)
            if not scores.requires_grad:
                raise ConfigError(NO_GRADIENT)
            (found,) = torch.autograd.grad(scores.sum(), frames, allow_unused=True)
        if found is None:
            raise ConfigError(NO_GRADIENT)
        return found


NO_GRADIENT = "no gradient reaches the frame: choose occlusion, blur or rise, which need none"


def in_batches(function: Callable[..., Tensor], *rows: Tensor, size: int = BATCH) -> Tensor:
    """Apply a function to tensors of the same length, `size` rows at a time, and join what it returns."""
    parts = zip(*(tensor.split(size) for tensor in rows), strict=True)
    return torch.cat([function(*part) for part in parts])


def gap(outputs: Tensor, chosen: Tensor) -> Tensor:
    """Return how far the chosen output lies above the mean of the others. outputs: (B, K); chosen: (B,) -> (B,)."""
    own = outputs.gather(1, chosen[:, None])[:, 0]
    return own - (outputs.sum(1) - own) / max(outputs.shape[1] - 1, 1)


def log_probability(outputs: Tensor, chosen: Tensor) -> Tensor:
    """Return the log-probability of the chosen output [nats]. outputs: (B, K) logits; chosen: (B,) -> (B,)."""
    return outputs.log_softmax(1).gather(1, chosen[:, None])[:, 0]
