"""Baselines without a learned network: every pixel by itself, principal components, and Gaussians on them."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.generators.interfaces import Bound, summed
from rl_gen_lab.generators.likelihoods import GaussianLikelihood, Likelihood
from rl_gen_lab.generators.mixture import GaussianMixture

MAX_FITTED = 2_000  # images from which components are computed


class Factorised(nn.Module):
    """Every pixel by itself, as often as in the training images: what an image costs of which nothing is known."""

    def __init__(self, likelihood: Likelihood, size: tuple[int, int]) -> None:
        """size: (H, W) of the images [px]."""
        super().__init__()
        self.likelihood, self.size = likelihood.requires_grad_(False), size

    def losses(self, images: Tensor, weights: Tensor | None) -> dict[str, Tensor]:
        """As `Generator`; there is nothing to learn."""
        return {"loss": -self.bound(images, None).log_likelihood.mean()}

    def bound(self, images: Tensor, generator: torch.Generator | None) -> Bound:
        """As `Generator`; there is no code."""
        out = self.decode(self.encode(images))
        log_likelihood = summed(self.likelihood.log_prob(out, images))
        return Bound(log_likelihood, torch.zeros_like(log_likelihood), out)

    def encode(self, images: Tensor) -> Tensor:
        """images: (B, 3, H, W) uint8 -> codes without numbers, (B, 0)."""
        return torch.zeros(len(images), 0, device=images.device)

    def decode(self, codes: Tensor) -> Tensor:
        """codes: (B, 0) -> what the likelihood reads, (B, channels, H, W): zeros, the background is all."""
        return torch.zeros(len(codes), self.likelihood.channels, *self.size, device=codes.device)


class PrincipalComponents(nn.Module):
    """The code is the projection to the Z directions in which the training images vary most.

    The rest is noise of one variance. Source: Pearson 1901; Tipping & Bishop 1999, "Probabilistic principal component
    analysis". components: Gaussians in the density of the codes; 1 is probabilistic PCA.
    """

    directions: Tensor
    scales: Tensor

    def __init__(self, likelihood: GaussianLikelihood, latents: int, components: int) -> None:
        """likelihood: of images of the right size; `fit` sets its mean and its variance."""
        super().__init__()
        self.likelihood = likelihood.requires_grad_(False)
        self.register_buffer("directions", torch.zeros(latents, *likelihood.background.shape))
        self.register_buffer("scales", torch.ones(latents))
        self.mixture = GaussianMixture(components, latents)

    def fit(self, images: Tensor) -> PrincipalComponents:
        """Compute everything from images (N, 3, H, W) uint8 RGB. Returns itself.

        Raises: ConfigError for fewer images than components.
        """
        chosen = images[:: -(-len(images) // MAX_FITTED)]
        latents, components = len(self.scales), len(self.mixture.means)
        if max(latents, components) >= len(chosen):
            raise ConfigError(
                f"{len(chosen)} images are too few for {latents} --generate.latents and {components} components"
            )
        x = chosen.flatten(1).float() / 255
        self.likelihood.background.copy_(x.mean(0).view(images.shape[1:]))
        x -= x.mean(0)
        # Of N images and far more pixels: the eigenvectors of the N x N matrix of inner products.
        values, vectors = torch.linalg.eigh((x @ x.T).double())
        values, vectors = values.clamp_min(1e-12), vectors[:, -latents:]
        directions = (x.T @ (vectors / values[-latents:].sqrt()).float()).T
        self.directions.copy_(directions.view_as(self.directions))
        self.scales.copy_((values[-latents:] / len(chosen)).sqrt())
        left_over = values[:-latents].sum() / len(chosen) / (x.shape[1] - latents)
        self.likelihood.log_std.copy_(0.5 * left_over.log())
        self.mixture.fit((x @ directions.T) / self.scales, torch.Generator().manual_seed(0))
        return self

    def losses(self, images: Tensor, weights: Tensor | None) -> dict[str, Tensor]:
        """As `Generator`; there is nothing to learn."""
        bound = self.bound(images, None)
        return {"loss": (bound.code_length - bound.log_likelihood).mean()}

    def bound(self, images: Tensor, generator: torch.Generator | None) -> Bound:
        """As `Generator`: the exact density, of the code and of the noise in all other directions."""
        codes = self.encode(images)
        out = self.decode(codes)
        log_likelihood = summed(self.likelihood.log_prob(out, images))
        # the likelihood counts noise, of length 0, in the directions of the code as well
        counted_twice = codes.shape[1] * (self.likelihood.log_std + 0.5 * math.log(2 * math.pi))
        code_length = self.scales.log().sum() - self.mixture.log_prob(codes) - counted_twice
        return Bound(log_likelihood, code_length, out)

    def encode(self, images: Tensor) -> Tensor:
        """images: (B, 3, H, W) uint8 -> codes (B, Z), each of variance 1 over the training images."""
        centered = images.float() / 255 - self.likelihood.background
        return centered.flatten(1) @ self.directions.flatten(1).T / self.scales

    def decode(self, codes: Tensor) -> Tensor:
        """codes: (B, Z) -> what is added to the mean image, (B, 3, H, W)."""
        return ((codes * self.scales) @ self.directions.flatten(1)).view(-1, *self.directions.shape[1:])
