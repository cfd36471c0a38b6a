"""Fractal networks: columns, and paths cut in training."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rl_gen_lab.backbones.config import BackboneConfig
from rl_gen_lab.backbones.fractalnet import Fractal


class PlusOne(nn.Module):
    """Stands in for a convolution: counts the convolutions on the way, averaged where paths meet."""

    def forward(self, x: Tensor) -> Tensor:
        return x + 1


def test_a_fractal_averages_columns_of_one_two_and_four_convolutions() -> None:
    fractal = Fractal(BackboneConfig(depth=3), 4, 4)
    assert [len(column) for column in fractal.columns] == [1, 2, 4]  # type: ignore[arg-type]
    for column in fractal.columns:
        for row in range(len(column)):  # type: ignore[arg-type]
            column[row] = PlusOne()  # type: ignore[operator, index]
    # Half way the columns of 2 and 4 meet: (1 + 2) / 2 = 1.5. At the end: (1 + 2.5 + 3.5) / 3.
    out = fractal(torch.zeros(1, 4, 1, 1))
    torch.testing.assert_close(out, torch.full_like(out, (1 + 2.5 + 3.5) / 3))


def test_drop_path_cuts_a_fractal_to_its_paths_and_never_to_nothing() -> None:
    torch.manual_seed(0)
    fractal = Fractal(BackboneConfig(depth=2, drop_path=0.9), 4, 4)
    for column in fractal.columns:
        for row in range(len(column)):  # type: ignore[arg-type]
            column[row] = PlusOne()  # type: ignore[operator, index]
    seen = {round(fractal(torch.zeros(1, 4, 1, 1)).max().item(), 3) for _ in range(200)}
    assert seen == {1.0, 1.5, 2.0}
    assert {fractal.eval()(torch.zeros(1, 4, 1, 1)).max().item() for _ in range(5)} == {1.5}
