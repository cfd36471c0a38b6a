"""What the task and the commands ask of a generator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from rl_gen_lab.generators.likelihoods import Likelihood


@dataclass(frozen=True)
class Bound:
    """What images cost. All in nats, of whole images, (B,).

    log_likelihood: of the pixels given the code, summed over pixels; code_length: of the code (0 where codes have no
    distribution, and the sum is no bound). log_likelihood - code_length is the evidence lower bound (ELBO).
    out: what the likelihood reads, (B, channels, H, W).
    """

    log_likelihood: Tensor
    code_length: Tensor
    out: Tensor


class Generator(Protocol):
    """A generator of frames: an nn.Module with codes, a decoder and a likelihood."""

    @property
    def likelihood(self) -> Likelihood:
        """The distribution of the pixels, given what `decode` returns."""

    def losses(self, images: Tensor, weights: Tensor | None) -> dict[str, Tensor]:
        """Scalar losses of a training batch: sums over pixels and numbers of a code, means over images [nats].

        images: (B, 3, H, W) uint8; weights: (B, H, W) of the pixels. "loss" is minimized, the others are recorded.
        """

    def bound(self, images: Tensor, generator: torch.Generator | None) -> Bound:
        """What images (B, 3, H, W) uint8 cost; generator: draws the codes, where they are drawn."""

    def encode(self, images: Tensor) -> Tensor:
        """images: (B, 3, H, W) uint8 -> the code of each, without noise: (B, Z) float32, or tokens (B, L) int64."""

    def decode(self, codes: Tensor) -> Tensor:
        """Codes as of `encode` -> what the likelihood reads, (B, channels, H, W) float32."""


def summed(log_prob: Tensor, weights: Tensor | None = None) -> Tensor:
    """Sum over the pixels of each image: (B, H, W) -> (B,)."""
    return (log_prob if weights is None else weights * log_prob).sum((1, 2))
