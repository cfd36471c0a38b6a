"""Distributions of the next code of a frame, given what a recurrent network says of the past.

Codes of whole numbers have a categorical for each coordinate, codes of numbers a mixture of Gaussians. Both begin from
the present code, which is what the next one nearly always looks like.
"""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor, nn

from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.generators.quantizers import FiniteScalarQuantizer
from rl_gen_lab.generators.vae import VariationalAutoencoder
from rl_gen_lab.generators.vq_vae import QuantizedAutoencoder
from rl_gen_lab.generators.world_models.sampling import drawn

KEEP_BONUS = 3.0  # at first, for a coordinate that stays as it is [nats]
LARGEST = 8.0  # number of a code that a policy sees, in standard deviations of the prior
SPREADS = (-7.0, 3.0)  # of the log standard deviation of a Gaussian


class NextCode(Protocol):
    """Codes (B, ...) of a kind. features: numbers of a code as a network reads it; outputs: numbers it must say."""

    features: int
    outputs: int
    bound: float  # of the features a policy sees

    def read(self, codes: Tensor) -> Tensor:
        """Return codes as numbers for a network, (..., features) float32."""

    def nats(self, out: Tensor, present: Tensor, following: Tensor) -> Tensor:
        """-log p(following), (B,). out: (B, outputs); of numbers it is of a density."""

    def draw(self, out: Tensor, present: Tensor, temperature: float, generator: torch.Generator | None) -> Tensor:
        """Draw the next codes; temperature 0 takes the likeliest."""


class CategoricalCode:
    """Tokens of a finite scalar quantizer: each coordinate of each token has a distribution over its levels."""

    def __init__(self, quantizer: FiniteScalarQuantizer, tokens: int) -> None:
        self.quantizer, self.tokens = quantizer, tokens
        self.levels: list[int] = quantizer.levels.tolist()
        self.features = tokens * len(self.levels)
        self.bound = 1.0
        self.outputs = tokens * (sum(self.levels) + len(self.levels))  # the last: how much each coordinate stays

    def read(self, codes: Tensor) -> Tensor:
        """As `NextCode`. codes: (..., L) int64."""
        return self.quantizer.vectors(codes).flatten(-2)

    def digits(self, codes: Tensor) -> Tensor:
        """codes: (..., L) int64 -> (..., L, d) int64, the level of each coordinate."""
        return codes[..., None] // self.quantizer.places % self.quantizer.levels

    def _logits(self, out: Tensor, present: Tensor) -> list[Tensor]:
        """Return logits (B, L, levels) of each coordinate."""
        parts = out.float().unflatten(-1, (self.tokens, -1)).split([*self.levels, len(self.levels)], -1)
        digits = self.digits(present)
        return [
            logits.scatter_add(-1, digits[..., i : i + 1], parts[-1][..., i : i + 1] + KEEP_BONUS)
            for i, logits in enumerate(parts[:-1])
        ]

    def nats(self, out: Tensor, present: Tensor, following: Tensor) -> Tensor:
        """As `NextCode`."""
        digits, total = self.digits(following), torch.zeros(len(out), device=out.device)
        for i, logits in enumerate(self._logits(out, present)):
            total = total - logits.log_softmax(-1).gather(-1, digits[..., i : i + 1]).sum((1, 2))
        return total

    def draw(self, out: Tensor, present: Tensor, temperature: float, generator: torch.Generator | None) -> Tensor:
        """As `NextCode`."""
        tokens = torch.zeros_like(present)
        for logits, place in zip(self._logits(out, present), self.quantizer.places.tolist(), strict=True):
            tokens += place * drawn(logits, -1, temperature, generator)
        return tokens


class MixtureCode:
    """Numbers with a mixture of Gaussians, as in Ha & Schmidhuber 2018, "World models", section 2.3."""

    def __init__(self, numbers: int, components: int) -> None:
        self.numbers, self.components = numbers, components
        self.features, self.bound = numbers, LARGEST
        self.outputs = components * (2 * numbers + 1)

    def read(self, codes: Tensor) -> Tensor:
        """As `NextCode`. codes: (..., Z) float32."""
        return codes

    def _parts(self, out: Tensor, present: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return log shares (B, K), means and log standard deviations (B, K, Z)."""
        size = self.components * self.numbers
        shares, moves, spreads = out.float().split([self.components, size, size], -1)
        means = present[:, None] + moves.unflatten(1, (self.components, -1))
        return shares.log_softmax(1), means, spreads.unflatten(1, (self.components, -1)).clamp(*SPREADS)

    def nats(self, out: Tensor, present: Tensor, following: Tensor) -> Tensor:
        """As `NextCode`: of a density."""
        shares, means, spreads = self._parts(out, present)
        errors = (following[:, None] - means) * (-spreads).exp()
        log_p = (-0.5 * errors.square() - spreads - 0.5 * math.log(2 * math.pi)).sum(2)
        return -(shares + log_p).logsumexp(1)

    def draw(self, out: Tensor, present: Tensor, temperature: float, generator: torch.Generator | None) -> Tensor:
        """As `NextCode`; the temperature scales the logits of the shares and the variances."""
        shares, means, spreads = self._parts(out, present)
        rows = torch.arange(len(out), device=out.device)
        chosen = drawn(shares, 1, temperature, generator)
        if not temperature:
            return means[rows, chosen]
        normal = torch.randn(present.shape, generator=generator, device=out.device)
        return means[rows, chosen] + spreads[rows, chosen].exp() * temperature**0.5 * normal


def next_code_of(generator: nn.Module, components: int) -> NextCode:
    """Return the distribution that fits the codes of a generator. Raises: ConfigError for one that has none."""
    if isinstance(generator, QuantizedAutoencoder) and isinstance(generator.quantizer, FiniteScalarQuantizer):
        return CategoricalCode(generator.quantizer, generator.grid[0] * generator.grid[1])
    if isinstance(generator, VariationalAutoencoder):
        return MixtureCode(generator.config.latents, components)
    raise ConfigError("--dream.generator needs a run of generate with a vae, or a vq-vae of finite scalars (fsq)")
