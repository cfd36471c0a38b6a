"""An autoencoder whose code is a map of whole numbers: the tokens of an image."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rl_gen_lab.backbones.convolutional import Convolutional
from rl_gen_lab.backbones.maps import build_for
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.generators.config import GenerateConfig
from rl_gen_lab.generators.decoders import COARSEST, UpsamplingDecoder
from rl_gen_lab.generators.interfaces import Bound, summed
from rl_gen_lab.generators.likelihoods import Likelihood
from rl_gen_lab.generators.quantizers import FiniteScalarQuantizer, Quantizer, VectorQuantizer

VQ_DIMENSIONS = 16  # of the vectors of a codebook
UNSEEN = 0.01  # counts of a token that a position never had


class QuantizedAutoencoder(nn.Module):
    """A token for each position of the backbone's last map. Source: van den Oord et al. 2017, "VQ-VAE"."""

    token_counts: Tensor
    updates: Tensor

    def __init__(self, config: GenerateConfig, images: Tensor, likelihood: Likelihood) -> None:
        """images: (N, 3, H, W) uint8 RGB, of training. Raises: ConfigError for a backbone or decoder that cannot."""
        super().__init__()
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))
        if config.decoder == "broadcast":
            raise ConfigError("a vq-vae decodes a map: use --generate.decoder upsample or transposed")
        self.likelihood = likelihood
        self.backbone: Convolutional = build_for(config, tuple(images.shape[1:]))
        self.backbone.standardize(images[:: max(len(images) // 1_000, 1)])
        last = self.backbone.feature_maps[-1]
        self.quantizer: Quantizer = (
            FiniteScalarQuantizer(config.levels)
            if config.quantizer == "fsq"
            else VectorQuantizer(config.codes, VQ_DIMENSIONS, config.commitment)
        )
        self.to_vectors = nn.Conv2d(last.channels, self.quantizer.dimensions, 1)
        self.from_vectors = nn.Conv2d(self.quantizer.dimensions, config.width, 1)
        size = images.shape[2], images.shape[3]
        transposed = config.decoder == "transposed"
        self.decoder = UpsamplingDecoder(None, likelihood.channels, size, config.width, transposed)
        if (last.height, last.width) != self.decoder.grid:
            raise ConfigError(
                f"the last map of {config.backbone} is {last.height} x {last.width}, a vq-vae's decoder begins with"
                f" {self.decoder.grid[0]} x {self.decoder.grid[1]}: choose stages and first_stride of {COARSEST} pixels"
            )
        self.grid = self.decoder.grid
        # how often each position had each token, while learning: the prior, and the code lengths
        self.register_buffer("token_counts", torch.zeros(last.height * last.width, self.quantizer.codes))

    def quantize(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """images: (B, 3, H, W) uint8 -> vectors (B, d, h, w) with gradient, tokens (B, h w) int64, a scalar loss."""
        vectors = self.to_vectors(self.backbone.maps(images)[-1].relu()).float()
        flat = vectors.permute(0, 2, 3, 1).flatten(0, 2)
        quantized, tokens, loss = self.quantizer(flat)
        return quantized.unflatten(0, (len(images), *self.grid)).permute(0, 3, 1, 2), tokens.view(len(images), -1), loss

    def encode(self, images: Tensor) -> Tensor:
        """images: (B, 3, H, W) uint8 -> tokens (B, h w) int64."""
        return self.quantize(images)[1]

    def decode(self, tokens: Tensor) -> Tensor:
        """tokens: (B, h w) int64 -> what the likelihood reads, (B, channels, H, W)."""
        return self.decode_vectors(self.quantizer.vectors(tokens).unflatten(1, self.grid).permute(0, 3, 1, 2))

    def decode_vectors(self, vectors: Tensor) -> Tensor:
        """vectors: (B, d, h, w), quantized -> what the likelihood reads, (B, channels, H, W)."""
        return self.decoder.refine(self.from_vectors(vectors))

    def losses(self, images: Tensor, weights: Tensor | None) -> dict[str, Tensor]:
        """As `Generator`: the negative log-likelihood of the pixels and the quantizer's own loss, scaled alike."""
        self.updates += 1
        vectors, tokens, distance = self.quantize(images)
        self._count(tokens)
        log_prob = self.likelihood.log_prob(self.decode_vectors(vectors), images)
        reconstruction = -summed(log_prob, weights).mean()
        # its squared distance as that of Gaussian pixels, so that it counts beside sums over pixels
        loss = reconstruction + vectors[0].numel() * distance
        recorded = {"reconstruction_nats": -summed(log_prob.detach()).mean(), "code_distance": distance.detach()}
        return {"loss": loss, **recorded, "code_nats": self.code_length(tokens).mean()}

    def bound(self, images: Tensor, generator: torch.Generator | None) -> Bound:
        """As `Generator`; the code's length is by the tokens' frequencies, each position by itself."""
        vectors, tokens, _ = self.quantize(images)
        out = self.decode_vectors(vectors)
        return Bound(summed(self.likelihood.log_prob(out, images)), self.code_length(tokens), out)

    def _count(self, tokens: Tensor) -> None:
        """Count the tokens (B, h w) of training images; old ones are forgotten as the code changes."""
        self.token_counts.mul_(0.999)
        positions = torch.arange(tokens.shape[1], device=tokens.device).expand_as(tokens)
        ones = torch.ones(tokens.numel(), device=tokens.device)
        self.token_counts.index_put_((positions.flatten(), tokens.flatten()), ones, accumulate=True)

    def token_shares(self) -> Tensor:
        """Return the probabilities of the tokens at each position, (h w, codes)."""
        counts = self.token_counts + UNSEEN
        return counts / counts.sum(1, keepdim=True)

    def code_length(self, tokens: Tensor) -> Tensor:
        """-log p of tokens (B, h w), each position by itself: (B,) [nats]."""
        log_p = self.token_shares().log()
        return -log_p.expand(len(tokens), -1, -1).gather(2, tokens[..., None]).sum((1, 2))

    def sample_tokens(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw tokens, each position by itself, as often as while learning: (count, h w) int64."""
        return torch.multinomial(self.token_shares(), count, replacement=True, generator=generator).T
