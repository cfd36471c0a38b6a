"""The colors of a game as symbols: frames of few colors become exact, and so does every likelihood of them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rl_gen_lab.data.records import DataError

MAX_COLORS = 64  # Atari games show 5 to 28 at a time
CHUNK = 64  # images whose colors are looked up at a time


class Palette(nn.Module):
    """K colors, numbered; a further number, K, stands for every other color.

    Source: the sorted colors of the training images.
    """

    codes: Tensor

    def __init__(self, colors: Tensor) -> None:
        """colors: (K, 3) uint8 RGB, all different. Raises: DataError for more than `MAX_COLORS`."""
        super().__init__()
        if len(colors) > MAX_COLORS:
            raise DataError(
                f"the training images have {len(colors):,} colors or more, a palette has at most {MAX_COLORS}:"
                " use --generate.likelihood logistic"
            )
        self.register_buffer("codes", _codes(colors.T[None, :, :, None]).flatten().sort().values)

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def colors(self) -> Tensor:
        """Return the colors, (K, 3) uint8 RGB."""
        return torch.stack([self.codes >> shift & 255 for shift in (16, 8, 0)], 1).to(torch.uint8)

    def index(self, images: Tensor) -> Tensor:
        """images: (B, 3, H, W) uint8 RGB -> numbers of the colors, (B, H, W) int64; K for colors not in the palette."""
        codes = _codes(images)
        number = torch.searchsorted(self.codes, codes, out_int32=True).clamp_(max=len(self) - 1)
        return torch.where(self.codes[number] == codes, number, len(self)).long()

    def nearest(self, images: Tensor) -> Tensor:
        """images: (B, 3, H, W) uint8 -> the same in colors of the palette, each the nearest by squared distance."""
        best, chosen = None, torch.zeros_like(images[:, 0], dtype=torch.int64)
        for number, color in enumerate(self.colors.to(torch.int32)):
            distance = (images.to(torch.int32) - color[:, None, None]).square().sum(1)
            if best is None:
                best = distance
            closer = distance < best
            chosen[closer], best = number, torch.minimum(best, distance)
        return self.paint(chosen)

    def paint(self, numbers: Tensor) -> Tensor:
        """numbers: (B, H, W) integers in [0, K] -> (B, 3, H, W) uint8 RGB; K is drawn in magenta."""
        other = torch.tensor([[255, 0, 255]], dtype=torch.uint8, device=numbers.device)
        return torch.cat((self.colors, other))[numbers.long()].permute(0, 3, 1, 2)


def colors_of(images: Tensor) -> Tensor:
    """Return the colors of images (N, 3, H, W) uint8 RGB: (K, 3) uint8; no more than `MAX_COLORS` + 1 are collected."""
    found = torch.zeros(0, dtype=torch.int32)
    for chunk in images.split(CHUNK):
        found = torch.cat((found, _codes(chunk).unique())).unique()
        if len(found) > MAX_COLORS:
            found = found[: MAX_COLORS + 1]
            break
    return torch.stack([found >> shift & 255 for shift in (16, 8, 0)], 1).to(torch.uint8)


def _codes(images: Tensor) -> Tensor:
    """(B, 3, H, W) uint8 -> (B, H, W) int32, the three bytes of each color in one number."""
    red, green, blue = images.unbind(1)
    return red.to(torch.int32).mul_(256).add_(green).mul_(256).add_(blue)
