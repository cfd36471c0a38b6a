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

    def __init__(self, weight: Tensor, bits: int, rate: float = 0.0) -> None:
        """bits: 2 gives -1, 0, 1; 3 gives -3 to 3; in general 2^bits - 1 levels. rate: as in `cheapest`."""
        super().__init__()
        self.rate = rate
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
        chosen = cheapest(places.detach(), self.rate) if self.rate else places.detach().round()
        return (places + (chosen - places.detach())) * step

    def coded(self, weight: Tensor) -> CodedTensor:
        """Return the rounded weight as it is stored."""
        with torch.no_grad():
            values = self(weight)
            return coded.levels(values.cpu().numpy(), float(self.step()))


def cheapest(places: Tensor, rate: float) -> Tensor:
    """Round each number to the whole number of least squared error plus `rate` times its bits.

    A whole number takes -log2 of its share among the nearest ones, as in an order-0 coder. Candidates are the nearest
    one, its neighbor towards 0, and 0: others are farther and hardly cheaper. places: of any shape.
    Source: Wiedemann et al. 2019, "DeepCABAC", eq. 1.
    """
    nearest = places.round()
    shift = int(nearest.abs().max()) if nearest.numel() else 0
    counts = torch.bincount((nearest + shift).long().flatten(), minlength=2 * shift + 1).float()
    bits = -((counts + 1) / (counts.sum() + len(counts))).log2()  # one more of each: none is impossible
    candidates = torch.stack([nearest, nearest - nearest.sign(), torch.zeros_like(nearest)])
    costs = (places - candidates).square() + rate * bits[(candidates + shift).long()]
    return candidates.gather(0, costs.argmin(0, keepdim=True))[0]


def quantize(layers: list[tuple[str, nn.Module]], bits: int, rate: float = 0.0) -> None:
    """Put the weights of layers on levels. rate: as in `cheapest`; 0 takes the nearest."""
    for _, module in layers:
        parametrize.register_parametrization(module, WEIGHT, Levels(getattr(module, WEIGHT), bits, rate))
