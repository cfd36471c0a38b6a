"""A U-Net on maps of patches: three levels down, three up, with skips.

Source: Ronneberger et al. 2015, "U-Net"; what is given beside the maps scales and shifts the activations on the way up
(Perez et al. 2018, "FiLM").
"""

from __future__ import annotations

import math
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

LEVELS = 4
SIDE = 2 ** (LEVELS - 1)  # positions of the finest level beside one of the coarsest


def widths(width: int) -> tuple[int, ...]:
    """Return the channels of the levels, the finest first."""
    return width, 2 * width, 3 * width, 4 * width


class Down(nn.Module):
    """From the finest map to maps of all levels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        all_widths = widths(width)
        self.first = _conv(width, width)
        self.shrink = nn.ModuleList(_conv(a, b, 2) for a, b in pairwise(all_widths))
        self.refine = nn.ModuleList(_conv(b, b) for b in all_widths[1:])

    def forward(self, x: Tensor) -> list[Tensor]:
        """x: (B, width, h, w) -> the maps, the finest first."""
        x = x + F.relu(self.first(F.relu(x)))
        maps = [x]
        for shrink, refine in zip(self.shrink, self.refine, strict=True):
            x = F.relu(shrink(x))
            x = x + F.relu(refine(x))
            maps.append(x)
        return maps


class Up(nn.Module):
    """From the maps of all levels, and a vector for each image, to numbers at each position of the finest."""

    def __init__(self, width: int, vector: int, outputs: tuple[int, ...]) -> None:
        """vector: its length D; outputs: channels of each of several maps."""
        super().__init__()
        all_widths = widths(width)[::-1]
        self.modulate = nn.ModuleList(nn.Linear(vector, 2 * w) for w in all_widths)
        self.refine = nn.ModuleList(_conv(w, w) for w in all_widths)
        self.enlarge = nn.ModuleList(nn.Conv2d(a, 4 * b, 1) for a, b in pairwise(all_widths))
        self.last = nn.ModuleList(nn.Conv2d(width, channels, 1) for channels in outputs)
        for layer in self.modulate:
            assert isinstance(layer, nn.Linear)
            nn.init.normal_(layer.weight, std=0.3 / math.sqrt(vector))
            nn.init.zeros_(layer.bias)
        for conv in self.last:
            assert isinstance(conv, nn.Conv2d) and conv.bias is not None
            nn.init.normal_(conv.weight, std=0.1 / math.sqrt(width))  # at first, what stays the same decides
            nn.init.zeros_(conv.bias)

    def forward(self, maps: list[Tensor], vector: Tensor) -> list[Tensor]:
        """maps: of `Down`; vector: (B, D) -> maps (B, channels, h, w)."""
        x = maps[-1]
        for level, (modulate, refine) in enumerate(zip(self.modulate, self.refine, strict=True)):
            if level:
                x = F.pixel_shuffle(self.enlarge[level - 1](x), 2) + maps[-1 - level]
            scale, shift = modulate(vector)[:, :, None, None].chunk(2, 1)
            x = x + F.relu(refine(F.relu(x * (1 + scale) + shift)))
        x = F.relu(x)
        return [conv(x) for conv in self.last]


def _conv(before: int, after: int, stride: int = 1) -> nn.Conv2d:
    conv = nn.Conv2d(before, after, 3, stride, padding=1)
    nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
    assert conv.bias is not None
    nn.init.zeros_(conv.bias)
    return conv
