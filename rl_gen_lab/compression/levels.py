"""Weights on evenly spaced levels, with a distance that is learned."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from rl_gen_lab.compression import coded
from rl_gen_lab.compression.coded import CodedTensor
from rl_gen_lab.compression.layers import WEIGHT


class Levels(nn.Module):
    """Parametrization: a weight rounded to a multiple of `step`, at most `highest` of them to each side.

    Source: Esser et al. 2020, "Learned step size quantization", eqs. 1 to 3 and section 2.2 (start and scale of the
    gradient). The distance is used as a file keeps it, so what is trained is what is stored.
    """

    def __init__(self, weight: Tensor, bits: int) -> None:
        """bits: 2 gives -1, 0, 1; 3 gives -3 to 3; in general 2^bits - 1 levels."""
        super().__init__()
        self.highest = 2 ** (bits - 1) - 1
        nonzero = weight.detach().abs()[weight.detach() != 0]
        size = float(nonzero.mean()) if len(nonzero) else 1.0
        self.log_step = nn.Parameter(torch.tensor(math.log(max(2 * size / math.sqrt(self.highest), 1e-12))))
        self.gradient_scale = 1 / math.sqrt(weight.numel() * self.highest)

    def step(self) -> Tensor:
        """The distance of two levels, as it is stored."""
        exact = self.log_step.exp()
        scaled = exact * self.gradient_scale
        stored = (exact.detach().view(torch.int32) + 0x8000 & -0x10000).view(torch.float32)
        return stored + (scaled - scaled.detach())  # exactly what is stored, for the last term is 0

    def forward(self, weight: Tensor) -> Tensor:
        """weight: of any shape -> the same, on levels; the gradient passes where nothing was cut off."""
        step = self.step()
        places = (weight / step).clamp(-self.highest, self.highest)
        return (places + (places.round() - places).detach()) * step

    def coded(self, weight: Tensor) -> CodedTensor:
        """Return the rounded weight as it is stored."""
        with torch.no_grad():
            values = self(weight)
            return coded.levels(values.cpu().numpy(), float(self.step()))


def quantize(layers: list[tuple[str, nn.Module]], bits: int) -> None:
    """Put the weights of layers on levels."""
    for _, module in layers:
        parametrize.register_parametrization(module, WEIGHT, Levels(getattr(module, WEIGHT), bits))
