"""Likelihoods of the pixels of frames, given what a decoder says: one convention for all generators.

`log_prob` is in nats for each pixel, colors summed; whoever uses it sums over the pixels of an image and averages over
a batch, never anything else, so that all figures are of whole frames. Only exact likelihoods, which give each of the
256 values (or each color of the palette) a probability, can be compared with coders, in bits; densities of the others
have another unit. Every likelihood begins with what does not move: a learned background, added to the decoder's output.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rl_gen_lab.generators.palette import Palette, colors_of

NEVER_SEEN = 0.1  # counts of a color that a pixel never has in the training images
CHUNK = 64  # images at a time in the statistics of the training images


class PaletteLikelihood(nn.Module):
    """A categorical over the colors of the game for each pixel. out: logits (B, K + 1, H, W); the last: other colors.

    The background holds the log frequencies of the colors at each pixel in the training images, and is learned further.
    """

    exact = True
    frequencies: Tensor

    def __init__(self, images: Tensor, palette: Palette | None = None) -> None:
        """images: (N, 3, H, W) uint8 RGB, of training. Raises: DataError for too many colors."""
        super().__init__()
        self.palette = palette or Palette(colors_of(images))
        self.channels = len(self.palette) + 1
        self.log_others = math.log(2**24 - len(self.palette))  # one number stands for so many colors
        counts = torch.zeros(self.channels, *images.shape[2:])
        for chunk in images.split(CHUNK):
            numbers = self.palette.index(chunk)
            for color in range(len(self.palette)):
                counts[color] += (numbers == color).sum(0)
        frequencies = (counts + NEVER_SEEN) / (counts + NEVER_SEEN).sum(0)
        self.background = nn.Parameter(frequencies.log())
        self.register_buffer("frequencies", frequencies)

    def log_prob(self, out: Tensor, images: Tensor) -> Tensor:
        """out: (B, K + 1, H, W); images: (B, 3, H, W) uint8 -> (B, H, W) float32 [nats]."""
        numbers = self.palette.index(images)
        log_p = -F.cross_entropy(out + self.background, numbers, reduction="none")
        return log_p - self.log_others * (numbers == len(self.palette))

    def rarity(self, images: Tensor) -> Tensor:
        """Return how often each pixel has its color in the training images, (B, H, W) in (0, 1)."""
        return self.frequencies.expand(len(images), -1, -1, -1).gather(1, self.palette.index(images)[:, None])[:, 0]

    def likeliest(self, out: Tensor) -> Tensor:
        """Return the likeliest color of each pixel, (B, 3, H, W) uint8."""
        return self.palette.paint((out + self.background).argmax(1))

    def sample(self, out: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Draw each pixel by itself, (B, 3, H, W) uint8."""
        noise = torch.rand(out.shape, generator=generator, device=out.device).clamp_min(1e-20)
        return self.palette.paint((out + self.background - (-noise.log()).log()).argmax(1))


class GaussianLikelihood(nn.Module):
    """Independent Gaussians of the colors in [0, 1], of one variance.

    out: what is added to the mean image, (B, 3, H, W).

    The variance is learned (Rybkin et al. 2021, "Simple and effective VAE training with calibrated decoders") or 1, the
    squared error of textbooks. A density: it cannot be compared with bits.
    """

    exact, channels = False, 3

    def __init__(self, images: Tensor, learned: bool) -> None:
        """images: (N, 3, H, W) uint8 RGB, of training."""
        super().__init__()
        self.background = nn.Parameter(_mean_image(images))
        self.log_std = nn.Parameter(torch.full((), -3.0 if learned else 0.0), requires_grad=learned)

    def log_prob(self, out: Tensor, images: Tensor) -> Tensor:
        """As `PaletteLikelihood.log_prob`, of a density."""
        error = (images.float() / 255 - out - self.background) * (-self.log_std).exp()
        return (-0.5 * error.square() - self.log_std - 0.5 * math.log(2 * math.pi)).sum(1)

    def likeliest(self, out: Tensor) -> Tensor:
        """Return the mean, (B, 3, H, W) uint8."""
        return _to_bytes(out + self.background)

    def sample(self, out: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Draw each pixel by itself, (B, 3, H, W) uint8."""
        noise = torch.randn(out.shape, generator=generator, device=out.device)
        return _to_bytes(out + self.background + self.log_std.exp() * noise)


class LogisticLikelihood(nn.Module):
    """A logistic distribution, discretized to the 256 values of each color. out: means and log scales, (B, 6, H, W).

    Source: Salimans et al. 2017, "PixelCNN++", section 2.1, with one component.
    """

    exact, channels = True, 6

    def __init__(self, images: Tensor) -> None:
        """images: (N, 3, H, W) uint8 RGB, of training."""
        super().__init__()
        mean = _mean_image(images)
        self.background = nn.Parameter(torch.cat((mean, torch.full_like(mean, -4.0))))

    def log_prob(self, out: Tensor, images: Tensor) -> Tensor:
        """As `PaletteLikelihood.log_prob`."""
        mean, log_scale = self._means_and_scales(out)
        values = images.to(out.dtype) / 255
        above = (values + 0.5 / 255 - mean) * (-log_scale).exp()
        below = (values - 0.5 / 255 - mean) * (-log_scale).exp()
        # the outermost values hold all that lies beyond them
        log_upper = torch.where(images == 255, 0.0, F.logsigmoid(above))
        log_lower = torch.where(images == 0, 0.0, F.logsigmoid(-below))
        # sigmoid(above) - sigmoid(below), without the cancellation of both near 0 or near 1
        middle = log_upper + log_lower + torch.log1p(-torch.exp(below - above))
        ends = (images == 0) | (images == 255)
        return torch.where(ends, log_upper + log_lower, middle).sum(1)

    def likeliest(self, out: Tensor) -> Tensor:
        """Return the mean, (B, 3, H, W) uint8."""
        return _to_bytes(self._means_and_scales(out)[0])

    def sample(self, out: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Draw each color of each pixel by itself, (B, 3, H, W) uint8."""
        mean, log_scale = self._means_and_scales(out)
        u = torch.rand(mean.shape, generator=generator, device=out.device).clamp(1e-6, 1 - 1e-6)
        return _to_bytes(mean + log_scale.exp() * u.logit())

    def _means_and_scales(self, out: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_scale = (out + self.background).chunk(2, 1)
        return mean, log_scale.clamp(-7, 2)


class BernoulliLikelihood(nn.Module):
    """The color as the probability of white. out: logits, (B, 3, H, W). No probability of the image, and no density:

    the cross-entropy of textbooks, kept as the contrast (Loaiza-Ganem & Cunningham 2019, "The continuous Bernoulli").
    """

    exact, channels = False, 3

    def __init__(self, images: Tensor) -> None:
        """images: (N, 3, H, W) uint8 RGB, of training."""
        super().__init__()
        self.background = nn.Parameter(_mean_image(images).clamp(1e-3, 1 - 1e-3).logit())

    def log_prob(self, out: Tensor, images: Tensor) -> Tensor:
        """As `PaletteLikelihood.log_prob`, of a cross-entropy."""
        logits = out + self.background
        return -F.binary_cross_entropy_with_logits(logits, images.float() / 255, reduction="none").sum(1)

    def likeliest(self, out: Tensor) -> Tensor:
        """Return the mean, (B, 3, H, W) uint8."""
        return _to_bytes((out + self.background).sigmoid())

    def sample(self, out: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Draw black or white for each color of each pixel, (B, 3, H, W) uint8."""
        u = torch.rand(out.shape, generator=generator, device=out.device)
        return _to_bytes((u < (out + self.background).sigmoid()).float())


Likelihood = PaletteLikelihood | GaussianLikelihood | LogisticLikelihood | BernoulliLikelihood


def make_likelihood(name: str, images: Tensor, palette: Palette | None = None) -> Likelihood:
    """Make a likelihood: palette, gaussian, unit_gaussian, logistic or bernoulli.

    images: (N, 3, H, W) uint8 RGB, of training; palette: their colors, if known.
    Raises: DataError for more colors than a palette has.
    """
    if name == "palette":
        return PaletteLikelihood(images, palette)
    if name == "logistic":
        return LogisticLikelihood(images)
    if name == "bernoulli":
        return BernoulliLikelihood(images)
    return GaussianLikelihood(images, learned=name == "gaussian")


def _mean_image(images: Tensor) -> Tensor:
    """(N, 3, H, W) uint8 -> (3, H, W) float32 in [0, 1]."""
    total = torch.zeros(images.shape[1:])
    for chunk in images.split(CHUNK):
        total += chunk.float().sum(0)
    return total / (255 * len(images))


def _to_bytes(values: Tensor) -> Tensor:
    return (255 * values).round_().clamp_(0, 255).to(torch.uint8)
