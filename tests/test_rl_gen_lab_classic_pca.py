"""Principal components against scikit-learn's."""

from __future__ import annotations

import torch
from classic_numbers import digits, tensor

from rl_gen_lab.classic.pca import principal_components


def test_axes_variances_and_signs_are_scikit_learns() -> None:
    found = principal_components(digits()[0][:898], 16)
    assert (found.axes - tensor("pca_axes")).abs().max() < 1e-6
    assert (found.variances / tensor("pca_variances") - 1).abs().max() < 1e-10
    assert abs(found.share - float(tensor("pca_share"))) < 1e-10


def test_more_numbers_than_points_give_the_same_axes() -> None:
    points = torch.randn(12, 40, generator=torch.Generator().manual_seed(0)).double()
    wide = principal_components(points, 5)
    narrow = principal_components(torch.cat((points, points)), 5)  # 24 points: the same directions
    assert torch.allclose(wide.axes, narrow.axes, atol=1e-8)
    assert torch.allclose(wide.axes @ wide.axes.T, torch.eye(5).double(), atol=1e-8)
