"""Bounds by intervals: nothing within the box ever lies outside, and linear layers are exact."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from rl_gen_lab.backbones import build
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.explain.interval_bounds import Interval

POINTS = 10_000


class Mixed(nn.Module):
    """Convolutions, normalization, pooling, a skip connection, two paths and in-place functions: every kind of rule."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Conv2d(2, 4, 3), nn.Conv2d(4, 4, 3, padding=1)
        self.norm, self.pool, self.head = nn.BatchNorm2d(4), nn.MaxPool2d(2), nn.Linear(12, 3)
        self.norm.running_mean = torch.randn(4)
        self.norm.weight.data = torch.tensor([1.0, -1.0, 0.5, -2.0])
        self.double().eval()

    def forward(self, x: Tensor) -> Tensor:
        first = self.norm(self.first(x - 0.3)).relu()
        x = first + 2 * self.second(first)
        x = self.pool(x.clamp_min(0))
        out: Tensor = self.head(torch.cat((x.mean((2, 3)), -x.amax((2, 3)), x[:, :, 0, 0]), 1))
        return (out - out.mean(1, keepdim=True)) / -2 + 1


def points(box: Interval, count: int, seed: int = 0) -> Tensor:
    """Random points of a box of one row, half of them corners, at which linear functions are largest."""
    draws = torch.Generator().manual_seed(seed)
    share = torch.rand(count, *box.shape[1:], generator=draws, dtype=box.dtype)
    share[::2] = share[::2].round()
    return box.low + share * (box.high - box.low)


def test_ten_thousand_random_points_stay_within_the_bounds() -> None:
    network, x = Mixed(), torch.randn(1, 2, 6, 6, dtype=torch.float64)
    box = Interval(x - 0.2, x + 0.2)
    with torch.no_grad():
        bounds, values = network(box), network(points(box, POINTS))
    assert (values >= bounds.low - 1e-9).all() and (values <= bounds.high + 1e-9).all()
    assert (bounds.high > bounds.low).all()


def test_bounds_of_no_width_are_the_value_and_wider_boxes_have_wider_bounds() -> None:
    network, x = Mixed(), torch.randn(2, 2, 6, 6, dtype=torch.float64)
    with torch.no_grad():
        none, some, more = (network(Interval(x - r, x + r)) for r in (0.0, 0.1, 0.2))
        torch.testing.assert_close(none.low, network(x))
    torch.testing.assert_close(none.low, none.high)
    assert (more.low <= some.low).all() and (some.low <= none.low).all() and (more.high >= some.high).all()


def test_bounds_of_a_linear_layer_are_reached() -> None:
    layer, x = nn.Linear(5, 3).double(), torch.randn(1, 5, dtype=torch.float64)
    bounds = layer(Interval(x - 1, x + 1))
    for row in range(3):
        highest = x + layer.weight[row].sign()  # the corner of the box at which this output is largest
        torch.testing.assert_close(layer(highest)[0, row], bounds.high[0, row])


@pytest.mark.parametrize("backbone", ["nature", "small", "impala", "8x8s4-8x4s2-p-32"])
def test_backbones_of_frames_have_bounds(backbone: str) -> None:
    torch.manual_seed(1)
    network = build(backbone, (2, 84, 84))
    network.standardize(torch.randint(0, 256, (3, 1, 84, 84), dtype=torch.uint8))  # type: ignore[operator]
    frames = torch.randint(0, 256, (1, 2, 84, 84), dtype=torch.uint8)
    box = Interval.around(frames, 2.0)
    assert float(box.low.min()) >= 0 and float(box.high.max()) <= 255  # no pixel is darker than black
    with torch.no_grad():
        bounds, values = network(box), network(points(box, 20))
    slack = 1e-4 * bounds.high.abs().max()
    assert (values >= bounds.low - slack).all() and (values <= bounds.high + slack).all()


def test_what_has_no_rule_is_refused_by_name() -> None:
    box = Interval(torch.zeros(1, 4, 3, 3), torch.ones(1, 4, 3, 3))
    with pytest.raises(ConfigError, match="no bounds here for group_norm"):
        nn.GroupNorm(2, 4)(box)
    with pytest.raises(ConfigError, match="no bounds here for softmax"):
        box.softmax(1)
    with pytest.raises(ConfigError, match="eval"):
        nn.BatchNorm2d(4)(box)
