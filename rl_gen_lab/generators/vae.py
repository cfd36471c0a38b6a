"""The variational autoencoder. Source: Kingma & Welling 2014, "Auto-encoding variational Bayes".

The encoder gives a Gaussian over codes for each image, the decoder a distribution over images for each code. What is
maximized is the evidence lower bound: log p(image | code), summed over pixels, minus KL(posterior || N(0, 1)), summed
over the numbers of the code; batches are averaged. With an exact likelihood, minus the bound is the length of the image
in a file.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rl_gen_lab.generators.autoencoder import Encoder, make_decoder
from rl_gen_lab.generators.bounds import free_bits_kl, importance_weighted_bound, kl_to_standard_normal
from rl_gen_lab.generators.bounds import normal_log_density as log_normal
from rl_gen_lab.generators.config import GenerateConfig
from rl_gen_lab.generators.interfaces import Bound, summed
from rl_gen_lab.generators.likelihoods import Likelihood

LOG_VARIANCES = (-12.0, 8.0)  # of the posterior; beyond them float32 loses what is drawn
FIRST_LOG_VARIANCE = -6.0  # little noise at first: a decoder that is given noise learns to ignore its code


class VariationalAutoencoder(nn.Module):
    """A VAE of Z numbers whose prior is N(0, 1)."""

    updates: Tensor

    def __init__(self, config: GenerateConfig, images: Tensor, likelihood: Likelihood) -> None:
        """images: (N, 3, H, W) uint8 RGB, of training. Raises: ConfigError for a backbone that cannot read them."""
        super().__init__()
        self.config, self.likelihood = config, likelihood
        self.encoder = Encoder(config, images, 2 * config.latents)
        nn.init.constant_(self.encoder.last.bias[config.latents :], FIRST_LOG_VARIANCE)
        self.decoder = make_decoder(config, config.latents, likelihood.channels, (images.shape[2], images.shape[3]))
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))

    def posterior(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """images: (B, 3, H, W) uint8 -> mean and log variance of the code, (B, Z) each."""
        mean, log_variance = self.encoder(images).chunk(2, 1)
        return mean, log_variance.clamp(*LOG_VARIANCES)

    def encode(self, images: Tensor) -> Tensor:
        """images: (B, 3, H, W) uint8 -> means of the posteriors (B, Z)."""
        return self.posterior(images)[0]

    def decode(self, codes: Tensor) -> Tensor:
        """codes: (B, Z) -> what the likelihood reads, (B, channels, H, W)."""
        out: Tensor = self.decoder(codes)
        return out

    def beta(self) -> float:
        """Weight of the code's length now: it rises linearly from 0."""
        over = self.config.beta_updates
        return self.config.beta * (min(int(self.updates) / over, 1.0) if over else 1.0)

    def losses(self, images: Tensor, weights: Tensor | None) -> dict[str, Tensor]:
        """As `Generator`: reconstruction + beta * KL, or with several codes an image the importance-weighted bound."""
        beta = self.beta()
        self.updates += 1
        mean, log_variance = self.posterior(images)
        if (samples := self.config.importance_samples) > 1:
            return self._importance_weighted(images, weights, mean, log_variance, samples)
        codes = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
        log_prob = self.likelihood.log_prob(self.decode(codes), images)
        kl = kl_to_standard_normal(mean, log_variance)
        loss = (beta * free_bits_kl(kl, self.config.free_bits) - summed(log_prob, weights)).mean()
        recorded = {"reconstruction_nats": -summed(log_prob.detach()).mean(), "code_nats": kl.detach().sum(1).mean()}
        return {"loss": loss, **recorded, "beta": loss.new_tensor(beta)}

    def _importance_weighted(
        self, images: Tensor, weights: Tensor | None, mean: Tensor, log_variance: Tensor, samples: int
    ) -> dict[str, Tensor]:
        log_weights = torch.stack(
            [self._log_weights(images, mean, log_variance, torch.randn_like(mean), weights) for _ in range(samples)]
        )
        return {"loss": -importance_weighted_bound(log_weights).mean()}

    def _log_weights(
        self, images: Tensor, mean: Tensor, log_variance: Tensor, noise: Tensor, weights: Tensor | None = None
    ) -> Tensor:
        """log p(image, code) - log q(code | image) of a code for each image, (B,) [nats]."""
        codes = mean + (0.5 * log_variance).exp() * noise
        log_likelihood = summed(self.likelihood.log_prob(self.decode(codes), images), weights)
        return log_likelihood + log_normal(codes) - log_normal(codes, mean, log_variance)

    def bound(self, images: Tensor, generator: torch.Generator | None) -> Bound:
        """As `Generator`: one code drawn from each posterior, the KL in closed form."""
        mean, log_variance = self.posterior(images)
        noise = torch.randn(mean.shape, generator=generator, device=mean.device)
        out = self.decode(mean + (0.5 * log_variance).exp() * noise)
        log_likelihood = summed(self.likelihood.log_prob(out, images))
        return Bound(log_likelihood, kl_to_standard_normal(mean, log_variance).sum(1), out)

    @torch.no_grad()
    def importance_bound(self, images: Tensor, samples: int, generator: torch.Generator | None) -> Tensor:
        """Estimate log p(image) from below by so many codes: (B,) [nats]; more codes come closer."""
        mean, log_variance = self.posterior(images)
        noises = (torch.randn(mean.shape, generator=generator, device=mean.device) for _ in range(samples))
        return importance_weighted_bound(
            torch.stack([self._log_weights(images, mean, log_variance, noise) for noise in noises])
        )
