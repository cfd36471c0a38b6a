"""Quantizers: from vectors to whole numbers (tokens) and back, with a gradient straight through."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

DECAY = 0.99  # of the moving averages behind a codebook
UNUSED_SHARE = 0.03  # of a fair share of the use, below which a vector of the codebook is replaced


class Quantizer(Protocol):
    """A quantizer. codes: values of a token; dimensions: numbers of a vector."""

    codes: int
    dimensions: int

    def __call__(self, vectors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """vectors: (M, dimensions) -> those of the tokens, with a gradient; tokens (M,) int64; a scalar loss."""

    def vectors(self, tokens: Tensor) -> Tensor:
        """tokens: (...) int64 -> (..., dimensions)."""


class FiniteScalarQuantizer(nn.Module):
    """Each coordinate is squeezed to a few levels and rounded. No codebook, nothing that can die.

    Source: Mentzer et al. 2024, "Finite scalar quantization: VQ-VAE made simple", section 3.
    """

    levels: Tensor
    places: Tensor

    def __init__(self, levels: tuple[int, ...]) -> None:
        super().__init__()
        self.dimensions = len(levels)
        self.register_buffer("levels", torch.tensor(levels), persistent=False)
        places = torch.cumprod(torch.tensor((1, *levels[:-1])), 0)
        self.register_buffer("places", places, persistent=False)
        self.codes = int(torch.tensor(levels).prod())

    def forward(self, vectors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """As `Quantizer`; the loss is 0."""
        # an even number of levels lies around -1/2, so that rounding gives exactly as many
        half = (self.levels - 1) * (1 + 1e-3) / 2
        offset = torch.where(self.levels % 2 == 0, 0.5, 0.0)
        bounded = torch.tanh(vectors + (offset / half).atanh()) * half - offset
        rounded = bounded + (bounded.round() - bounded).detach()
        digits = rounded.detach().round().long() + self.levels // 2
        return rounded / (self.levels // 2), (digits * self.places).sum(-1), vectors.new_zeros(())

    def vectors(self, tokens: Tensor) -> Tensor:
        """As `Quantizer`."""
        digits = tokens[..., None] // self.places % self.levels
        return (digits - self.levels // 2) / (self.levels // 2)


class VectorQuantizer(nn.Module):
    """The nearest of K vectors, which are moving averages of what chose them; unused ones move to present vectors.

    Source: van den Oord et al. 2017, "Neural discrete representation learning", section 3 and appendix A.1; revival as
    in Dhariwal et al. 2020, "Jukebox", section 3.1.
    """

    codebook: Tensor
    uses: Tensor
    sums: Tensor

    def __init__(self, codes: int, dimensions: int, commitment: float) -> None:
        super().__init__()
        self.codes, self.dimensions, self.commitment = codes, dimensions, commitment
        self.register_buffer("codebook", torch.zeros(codes, dimensions))
        self.register_buffer("uses", torch.zeros(codes))
        self.register_buffer("sums", torch.zeros(codes, dimensions))

    def forward(self, vectors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """As `Quantizer`; the loss draws the vectors to the chosen ones. In training the codebook moves, too."""
        vectors = vectors.float()
        if self.training and not self.uses.any():
            self._replace(torch.ones(self.codes, dtype=torch.bool, device=vectors.device), vectors.detach())
        tokens = torch.cdist(vectors.detach(), self.codebook).argmin(1)
        chosen = self.codebook[tokens]
        loss = self.commitment * (vectors - chosen).square().mean()
        if self.training:
            self._follow(vectors.detach(), tokens)
        return vectors + (chosen - vectors).detach(), tokens, loss

    def vectors(self, tokens: Tensor) -> Tensor:
        """As `Quantizer`."""
        return self.codebook[tokens]

    @torch.no_grad()
    def _follow(self, vectors: Tensor, tokens: Tensor) -> None:
        uses = torch.bincount(tokens, minlength=self.codes).float()
        sums = torch.zeros_like(self.sums).index_add_(0, tokens, vectors)
        self.uses.lerp_(uses, 1 - DECAY)
        self.sums.lerp_(sums, 1 - DECAY)
        self.codebook.copy_(self.sums / self.uses.clamp_min(1e-5)[:, None])
        unused = self.uses < UNUSED_SHARE * len(vectors) / self.codes
        if unused.any():
            self._replace(unused, vectors)

    def _replace(self, which: Tensor, vectors: Tensor) -> None:
        """Put present vectors, chosen at random, in the place of some of the codebook's."""
        count = int(which.sum())
        chosen = vectors[torch.randint(len(vectors), (count,), device=vectors.device)]
        fair = len(vectors) / self.codes
        self.codebook[which] = chosen
        self.uses[which] = fair
        self.sums[which] = fair * chosen
