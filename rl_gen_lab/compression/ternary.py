"""Weights of two or three values, with learned or measured scales; full-precision numbers behind them learn."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from rl_gen_lab.compression import coded
from rl_gen_lab.compression.coded import CodedTensor
from rl_gen_lab.compression.layers import WEIGHT

THRESHOLD = 0.7  # of the mean size (Li et al. 2016, "Ternary weight networks", eq. 7)


class Ternary(nn.Module):
    """Parametrization: -negative, 0 or positive, two learned sizes for each layer.

    Source: Zhu et al. 2017, "Trained ternary quantization", eqs. 6 to 8, with the threshold of Li et al. and the
    gradient of the weights behind passed on unscaled.
    """

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        values = weight.detach()
        high, low = self._signs(values)
        self.positive = nn.Parameter(values[high].mean() if high.any() else torch.tensor(1e-6))
        self.negative = nn.Parameter(-values[low].mean() if low.any() else torch.tensor(1e-6))

    @staticmethod
    def _signs(weight: Tensor) -> tuple[Tensor, Tensor]:
        """Where the weight is positive and where negative, bool, of its shape; pruned numbers do not count."""
        sizes = weight.abs()
        threshold = THRESHOLD * sizes.sum() / (sizes > 0).sum().clamp_min(1)
        return weight > threshold, weight < -threshold

    def sizes(self) -> Tensor:
        """(2,) the sizes as a file keeps them, in half precision: of positive and of negative weights."""
        exact = torch.stack([self.positive, self.negative])
        return exact + (exact.detach().half().float() - exact.detach())

    def forward(self, weight: Tensor) -> Tensor:
        """weight: of any shape -> the same, three values."""
        high, low = self._signs(weight.detach())
        positive, negative = self.sizes()
        return positive * high - negative * low + (weight - weight.detach())

    def coded(self, weight: Tensor) -> CodedTensor:
        """Return the signs and sizes as they are stored: codes 0, 1 (positive), 2 (negative)."""
        high, low = self._signs(weight)
        positive, negative = self.sizes().detach().tolist()
        return coded.codebook((high + 2 * low.int()).cpu().numpy(), np.array([0.0, positive, -negative]))


class Binary(nn.Module):
    """Parametrization: the sign of each weight times the mean size of its row (an output channel or unit).

    Source: Rastegari et al. 2016, "XNOR-Net", eqs. 3 to 6. Gradients pass where the weight behind is below 1 in size.
    """

    def step(self, weight: Tensor) -> Tensor:
        """(rows,) mean size of each row, as a file keeps it: the upper half of a float32."""
        exact = weight.detach().flatten(1).abs().mean(1).clamp_min(1e-12)
        return (exact.view(torch.int32) + 0x8000 & -0x10000).view(torch.float32)

    def forward(self, weight: Tensor) -> Tensor:
        """weight: of any shape -> the same, two values in each row."""
        signs = torch.where(weight.detach() >= 0, 1.0, -1.0)
        passed = weight.clamp(-1, 1)
        return signs * self.step(weight).view(-1, *[1] * (weight.dim() - 1)) + (passed - passed.detach())

    def coded(self, weight: Tensor) -> CodedTensor:
        """Return the signs and the sizes of the rows as they are stored."""
        return coded.levels(self(weight).detach().cpu().numpy(), self.step(weight).cpu().numpy())


def ternarize(layers: list[tuple[str, nn.Module]]) -> None:
    """Give the weights of layers three values."""
    for _, module in layers:
        parametrize.register_parametrization(module, WEIGHT, Ternary(getattr(module, WEIGHT)))


def binarize(layers: list[tuple[str, nn.Module]]) -> None:
    """Give the weights of layers two values for each row."""
    for _, module in layers:
        parametrize.register_parametrization(module, WEIGHT, Binary())
