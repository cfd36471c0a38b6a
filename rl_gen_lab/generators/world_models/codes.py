"""Codes of what changed: a few discrete numbers for a step, where chance lives.

In training they are drawn from a posterior that sees the next frame, in a dream from a prior that does not; what they
cost, KL(posterior || prior), keeps them for what cannot be foreseen. A frame drawn from a code is of one piece, where
the likeliest colors of single pixels would leave out an object that can be at several places.
Sources: Micheli et al. 2024, "Efficient world models with context-aware tokenization" (codes of what changed); Hafner
et al. 2021, "Mastering Atari with discrete world models" (categorical codes, straight-through gradients).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rl_gen_lab.generators.world_models import unet
from rl_gen_lab.generators.world_models.patches import PIXELS
from rl_gen_lab.generators.world_models.sampling import drawn

CHANNELS = 16  # of the coarsest map, as the posterior reads it
HIDDEN = 256


class ChangeCodes(nn.Module):
    """G categorical codes of V values each, given a vector that tells the past."""

    def __init__(self, codes: int, values: int, past: int, colors: int, width: int, coarse: tuple[int, int]) -> None:
        """past: length of that vector; colors, width, coarse: as of the model."""
        super().__init__()
        self.codes, self.values = codes, values
        self.change = nn.Conv2d(colors * PIXELS, width, 1, bias=False)
        self.down = unet.Down(width)
        self.read = nn.Conv2d(unet.widths(width)[-1], CHANNELS, 1)
        self.prior = _perceptron(past, codes * values)
        self.posterior = _perceptron(past + CHANNELS * coarse[0] * coarse[1], codes * values)

    def prior_logits(self, past: Tensor) -> Tensor:
        """past: (N, D) -> (N, G, V) float32."""
        return self._logits(self.prior(past))

    def posterior_logits(self, past: Tensor, newest: Tensor, following: Tensor) -> Tensor:
        """newest, following: (N, K, 16, h, w) one-hot colors before and after the step -> (N, G, V) float32."""
        change = (following.float() - newest.float()).flatten(1, 2)
        maps = self.down(self.change(change))
        seen = F.relu(self.read(maps[-1])).flatten(1)
        return self._logits(self.posterior(torch.cat((past, seen), 1)))

    def _logits(self, flat: Tensor) -> Tensor:
        return flat.float().unflatten(1, (self.codes, self.values))


def drawn_codes(logits: Tensor, temperature: float = 1.0, generator: torch.Generator | None = None) -> Tensor:
    """Draw codes as one-hot vectors, (N, G, V) float32; temperature 0 takes the likeliest.

    Their gradient is that of the probabilities (Bengio et al. 2013, straight-through estimator).
    """
    chosen = F.one_hot(drawn(logits, -1, temperature, generator), logits.shape[-1]).float()
    probabilities = logits.softmax(-1)
    return chosen + probabilities - probabilities.detach()


def code_nats(posterior: Tensor, prior: Tensor) -> Tensor:
    """KL(posterior || prior) of logits (N, G, V), summed over codes: (N,) [nats]."""
    log_q, log_p = posterior.log_softmax(-1), prior.log_softmax(-1)
    return (log_q.exp() * (log_q - log_p)).sum((1, 2))


def _perceptron(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, outputs))
