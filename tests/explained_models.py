"""Small networks whose explanation is known, and a world in which the right answer is planted."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rl_gen_lab.explain.model import Explained, gap

SIDE, TAG, OBJECT = 24, (slice(2, 6), slice(2, 6)), (slice(14, 22), slice(12, 22))
AROUND_TAG = (slice(0, 10), slice(0, 10))  # the tag, and what a window of five pixels or a map of 8 px reaches


class Linear(nn.Module):
    """Two numbers that are weighted sums of pixels."""

    def __init__(self, shape: tuple[int, ...], seed: int = 0) -> None:
        super().__init__()
        draws = torch.Generator().manual_seed(seed)
        self.weight = nn.Parameter(torch.randn(2, *shape, generator=draws, dtype=torch.float64))

    def forward(self, frames: Tensor) -> Tensor:
        return torch.einsum("bchw,kchw->bk", frames, self.weight)


class Curved(nn.Module):
    """A small convolutional network of modules only, in float64, whose ReLUs are not in place."""

    def __init__(self, channels: int = 2, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.conv = nn.Sequential(nn.Conv2d(channels, 4, 3, 2), nn.ReLU(), nn.Conv2d(4, 5, 3), nn.ReLU())
        self.fc, self.relu, self.head = nn.Linear(5 * 3 * 3, 6), nn.ReLU(), nn.Linear(6, 3)
        self.double()

    def forward(self, frames: Tensor) -> Tensor:
        out: Tensor = self.head(self.relu(self.fc(self.conv(frames).flatten(1))))
        return out


def explained(network: nn.Module, shape: tuple[int, ...], baseline: float = 0.0) -> Explained:
    start = torch.full(shape, baseline, dtype=next(network.parameters()).dtype)
    return Explained(network, lambda net, frames, chosen: gap(net(frames), chosen), start)


def curved(count: int = 3, seed: int = 1) -> tuple[Explained, Tensor, Tensor]:
    """A question to a `Curved`, frames (B, 2, 12, 12), and chosen outputs."""
    draws = torch.Generator().manual_seed(seed)
    frames = torch.randn(count, 2, 12, 12, generator=draws, dtype=torch.float64)
    chosen = torch.randint(3, (count,), generator=draws)
    return explained(Curved(), (2, 12, 12), 0.1), frames, chosen


class CleverHans(nn.Module):
    """A network that looks at upright stripes alone, never at the larger, brighter object."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 2)
        self.head = nn.Linear(2, 2, bias=False)
        with torch.no_grad():
            upright = torch.tensor([[1.0, -1.0], [1.0, -1.0]])
            self.conv.weight.copy_(torch.stack((upright, upright.T))[:, None])
            self.conv.bias.fill_(-150.0)  # type: ignore[union-attr]
            self.head.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 0.0]]))

    def forward(self, frames: Tensor) -> Tensor:
        out: Tensor = self.head(self.conv(frames).relu().sum((2, 3)))
        return out


def hans_world(count: int = 2) -> tuple[Explained, Tensor, Tensor]:
    """Frames with a small tag of upright stripes, and a larger, brighter object of lying ones."""
    frame = torch.zeros(1, SIDE, SIDE)
    frame[0, TAG[0], 2:6:2] = 100.0
    frame[0, 14:22:2, OBJECT[1]] = 120.0
    question = Explained(CleverHans(), lambda net, frames, chosen: gap(net(frames), chosen), torch.zeros(1, SIDE, SIDE))
    return question, frame.expand(count, 1, SIDE, SIDE).clone(), torch.zeros(count, dtype=torch.int64)


def region(slices: tuple[slice, slice]) -> Tensor:
    """(1, 1, H, W) bool."""
    mask = torch.zeros(1, 1, SIDE, SIDE, dtype=torch.bool)
    mask[0, 0][slices] = True
    return mask
