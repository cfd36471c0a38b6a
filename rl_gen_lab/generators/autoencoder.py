"""An autoencoder with a code of numbers, and the parts that it shares with the variational one."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rl_gen_lab.backbones.convolutional import Convolutional
from rl_gen_lab.backbones.maps import build_for
from rl_gen_lab.generators.config import GenerateConfig
from rl_gen_lab.generators.decoders import BroadcastDecoder, UpsamplingDecoder
from rl_gen_lab.generators.interfaces import Bound, summed
from rl_gen_lab.generators.likelihoods import Likelihood


class Encoder(nn.Module):
    """The last map of a backbone, position by position, through a fully connected layer.

    The mean frame is subtracted from its input: what does not move is nearly all of a frame, and would hide the rest.
    """

    def __init__(self, config: GenerateConfig, images: Tensor, outputs: int) -> None:
        """images: (N, 3, H, W) uint8 RGB, whose mean and standard deviation standardize the input."""
        super().__init__()
        self.backbone: Convolutional = build_for(config, tuple(images.shape[1:]))
        self.backbone.standardize(images[:: max(len(images) // 1_000, 1)])
        last = self.backbone.feature_maps[-1]
        self.last = nn.Linear(last.channels * last.height * last.width, outputs)
        nn.init.normal_(self.last.weight, std=0.03)
        nn.init.zeros_(self.last.bias)

    def forward(self, images: Tensor) -> Tensor:
        """images: (B, 3, H, W) uint8 -> (B, outputs) float32."""
        out: Tensor = self.last(self.backbone.maps(images)[-1].relu().flatten(1))
        return out.float()


def make_decoder(config: GenerateConfig, code: int, channels: int, size: tuple[int, int]) -> nn.Module:
    """Make the decoder of a configuration, as `UpsamplingDecoder` describes it."""
    if config.decoder == "broadcast":
        return BroadcastDecoder(code, channels, size, config.width)
    return UpsamplingDecoder(code, channels, size, config.width, config.decoder == "transposed")


class Autoencoder(nn.Module):
    """An image as Z numbers, and back. Source: Hinton & Salakhutdinov 2006, "Reducing the dimensionality of data"."""

    updates: Tensor

    def __init__(self, config: GenerateConfig, images: Tensor, likelihood: Likelihood) -> None:
        """images: (N, 3, H, W) uint8 RGB, of training. Raises: ConfigError for a backbone that cannot read them."""
        super().__init__()
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))
        self.likelihood = likelihood
        self.encoder = Encoder(config, images, config.latents)
        self.decoder = make_decoder(config, config.latents, likelihood.channels, (images.shape[2], images.shape[3]))

    def encode(self, images: Tensor) -> Tensor:
        """images: (B, 3, H, W) uint8 -> codes (B, Z)."""
        code: Tensor = self.encoder(images)
        return code

    def decode(self, codes: Tensor) -> Tensor:
        """codes: (B, Z) -> what the likelihood reads, (B, channels, H, W)."""
        out: Tensor = self.decoder(codes)
        return out

    def losses(self, images: Tensor, weights: Tensor | None) -> dict[str, Tensor]:
        """As `Generator`: the negative log-likelihood of the pixels."""
        self.updates += 1
        log_prob = self.likelihood.log_prob(self.decode(self.encode(images)), images)
        return {"loss": -summed(log_prob, weights).mean(), "reconstruction_nats": -summed(log_prob.detach()).mean()}

    def bound(self, images: Tensor, generator: torch.Generator | None) -> Bound:
        """As `Generator`; the code has no distribution, so its length counts as 0."""
        out = self.decode(self.encode(images))
        log_likelihood = summed(self.likelihood.log_prob(out, images))
        return Bound(log_likelihood, torch.zeros_like(log_likelihood), out)
