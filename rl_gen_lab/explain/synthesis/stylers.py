"""Feed-forward style: a network for one style, and adaptive instance normalization with a decoder for any.

Sources: Johnson, Alahi & Fei-Fei 2016, "Perceptual losses for real-time style transfer"; Ulyanov et al. 2017 (instance
normalization); Huang & Belongie 2017, "Arbitrary style transfer in real-time with adaptive instance normalization".
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rl_gen_lab.explain.synthesis.encoders import padded
from rl_gen_lab.explain.synthesis.style import Weights, losses

WIDTHS = (12, 24, 32)  # of the network of a style: at full, half and a quarter of the size
ENCODER, ENCODED = (16, 32, 48), 48  # maps of AdaIN's encoder: at full, half and a quarter of the size
CROP = 96  # pixels: side of the pieces that networks learn from
RATE = 4e-3  # the largest learning rate
CONTENT_WEIGHT = 2.0  # of AdaIN's content loss beside the styles'


def _conv(ins: int, outs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.ReflectionPad2d(kernel // 2), nn.Conv2d(ins, outs, kernel, stride))


class FastStyle(nn.Module):
    """A network that gives pictures one style, in one pass: a change of colors and strokes that is added to them."""

    def __init__(self) -> None:
        super().__init__()
        first, second, third = WIDTHS
        self.down = nn.ModuleList((_conv(3, first), _conv(first, second, 3, 2), _conv(second, third, 3, 2)))
        self.blocks = nn.ModuleList(_conv(third, third) for _ in range(2))
        self.up = nn.ModuleList((_conv(third, second), _conv(second, first)))
        self.out = _conv(first, 3)
        widths = (*WIDTHS, third, third, second, first)
        self.norms = nn.ModuleList(nn.InstanceNorm2d(width, affine=True) for width in widths)

    def forward(self, pictures: Tensor) -> Tensor:
        """pictures: (B, 3, H, W) in [0, 1] -> the same, restyled."""
        height, width = pictures.shape[2:]
        x = F.pad(pictures, (0, -width % 4, 0, -height % 4), mode="replicate") - 0.5
        whole, norms = x, iter(self.norms)
        for layer in self.down:
            x = next(norms)(layer(x)).relu()
        for block in self.blocks:
            x = x + next(norms)(block(x)).relu()
        for layer in self.up:
            x = next(norms)(layer(F.interpolate(x, scale_factor=2.0))).relu()
        return (torch.tanh(self.out(x)) + 0.5 + 0.2 * whole)[:, :, :height, :width].clamp(0, 1)


def adain(content: Tensor, style: Tensor) -> Tensor:
    """Return maps of the content (B, C, H, W) each with mean and deviation of the style's (equation 8)."""
    mean, spread = moments(content)
    wanted, other = moments(style)
    return other * (content - mean) / spread + wanted


def moments(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of each map over places, (B, C, 1, 1)."""
    return maps.mean((2, 3), keepdim=True), (maps.var((2, 3), keepdim=True, correction=0) + 1e-6).sqrt()


class AnyStyle(nn.Module):
    """A fixed random encoder and a learned decoder: any style in one pass, by the moments of the encoder's maps."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        ins = (3, *ENCODER[:-1])
        for number, (m, n) in enumerate(zip(ins, ENCODER, strict=True)):
            weight = torch.randn(n, m, 3, 3, generator=generator)
            weight = weight / weight.flatten(1).norm(dim=1)[:, None, None, None] * 2**0.5
            self.register_buffer(f"filters_{number}", weight)
        widths = (ENCODED, 32, 24, 12)
        self.decoder = nn.ModuleList(_conv(m, n) for m, n in pairwise(widths))
        self.out = _conv(widths[-1], 3)

    def encode(self, pictures: Tensor) -> list[Tensor]:
        """Return the maps of pictures (B, 3, H, W) in [0, 1] at full, half and a quarter of their size."""
        maps, x = [], 2 * pictures - 1
        for number in range(len(ENCODER)):
            x = F.leaky_relu(F.conv2d(padded(x, 1), getattr(self, f"filters_{number}")), 0.2)
            maps.append(x)
            if number + 1 < len(ENCODER):
                x = F.avg_pool2d(x, 2)
        return maps

    def decode(self, maps: Tensor) -> Tensor:
        """Return pictures (B, 3, 4 H, 4 W) in [0, 1] of the last maps (B, C, H, W)."""
        for number, layer in enumerate(self.decoder):
            if number:
                maps = F.interpolate(maps, scale_factor=2.0)
            maps = F.leaky_relu(layer(maps), 0.2)
        return torch.sigmoid(self.out(maps))

    def forward(self, pictures: Tensor, style: Tensor, strength: float = 1.0) -> Tensor:
        """pictures: (B, 3, H, W), style: (1, 3, H', W') in [0, 1] -> restyled; strength 0: as they are."""
        height, width = pictures.shape[2:]
        whole = F.pad(pictures, (0, -width % 4, 0, -height % 4), mode="replicate")
        maps = self.encode(whole)[-1]
        goal = strength * adain(maps, self.encode(style)[-1]) + (1 - strength) * maps
        return self.decode(goal)[:, :, :height, :width]


def random_crops(pictures: Tensor, count: int, side: int, generator: torch.Generator) -> Tensor:
    """Return square pieces (count, 3, side, side) in [0, 1] of pictures (N, 3, H, W) uint8, smaller where these are."""
    side = min(side, *pictures.shape[2:]) // 4 * 4
    parts = []
    for _ in range(count):
        n, y, x = (
            int(torch.randint(0, high + 1, (), generator=generator))
            for high in (len(pictures) - 1, pictures.shape[2] - side, pictures.shape[3] - side)
        )
        parts.append(pictures[n, :, y : y + side, x : x + side])
    return torch.stack(parts).float() / 255


def _train(
    network: nn.Module, loss: Callable[[int], Tensor], updates: int, on_update: Callable[[int, float], None]
) -> None:
    """Lower a loss, a function of the number of the update, by Adam; the rate rises and falls once."""
    optimizer = torch.optim.Adam(network.parameters(), lr=RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=max(updates, 2))
    for update in range(updates):
        total = loss(update)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        schedule.step()
        on_update(update + 1, total.item())
    network.eval().requires_grad_(False)


def train_fast(
    contents: Tensor,
    style: Tensor,
    weights: Weights,
    *,
    updates: int,
    batch: int = 2,
    seed: int = 0,
    on_update: Callable[[int, float], None] = lambda done, loss: None,
) -> FastStyle:
    """Train the network of one style on pieces of contents (N, 3, H, W) uint8. style: (1, 3, H, W) in [0, 1]."""
    torch.manual_seed(seed)
    network, generator = FastStyle(), torch.Generator().manual_seed(seed)
    loss = losses(random_crops(contents, 1, CROP, generator), style, weights, seed)

    def of_pieces(update: int) -> Tensor:
        pieces = random_crops(contents, batch, CROP, generator)
        return torch.stack(loss(network(pieces), pieces)).sum()

    _train(network, of_pieces, updates, on_update)
    return network


def train_any(
    contents: Tensor,
    styles: Tensor,
    *,
    updates: int,
    batch: int = 4,
    style_weight: float = 1.0,
    seed: int = 0,
    on_update: Callable[[int, float], None] = lambda done, loss: None,
) -> AnyStyle:
    """Train the decoder for any style on pieces of contents (N, 3, H, W) and styles (M, 3, H, W), uint8.

    Losses: the maps of the result beside those aimed at, and the moments of all maps beside the style's (equations 12
    to 14); a quarter of each batch is to be given back as it was.
    """
    torch.manual_seed(seed)
    network, generator = AnyStyle(seed), torch.Generator().manual_seed(seed)
    side, same = min(CROP, *contents.shape[2:], *styles.shape[2:]), max(batch // 4, 1)

    def of_pieces(update: int) -> Tensor:
        pieces = random_crops(styles if update % 2 else contents, batch, side, generator)
        wanted = random_crops(styles, batch, side, generator)
        wanted[:same] = pieces[:same]
        maps, others = network.encode(pieces)[-1], network.encode(wanted)
        goal = adain(maps, others[-1])
        made = network.decode(goal)
        found = network.encode(made)
        total = CONTENT_WEIGHT * (found[-1] - goal).square().mean() + 4 * (made[:same] - pieces[:same]).abs().mean()
        for own, other in zip(found, others, strict=True):
            pairs = zip(moments(own), moments(other), strict=True)
            total = total + style_weight * sum((a - b).square().mean() for a, b in pairs)
        return total

    _train(network, of_pieces, updates, on_update)
    return network
