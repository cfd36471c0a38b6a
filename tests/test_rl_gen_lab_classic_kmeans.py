"""k-means against scikit-learn's, from the same starts."""

from __future__ import annotations

import torch
from classic_numbers import digits, tensor

from rl_gen_lab.classic.kmeans import kmeans, nearest, starts


def test_the_same_starts_lead_to_scikit_learns_means() -> None:
    points = digits()[0][:300]
    means, labels = kmeans(points, points[:10])
    assert torch.equal(labels, tensor("kmeans_labels").long())
    assert (means - tensor("kmeans")).abs().max() < 1e-10


def test_starts_far_apart_find_three_clouds_where_near_ones_may_not() -> None:
    generator = torch.Generator().manual_seed(0)
    clouds = torch.tensor([[0.0, 0], [100, 0], [0, 100]]).repeat_interleave(50, 0)
    points = clouds + torch.randn(150, 2, generator=generator)
    _, labels = kmeans(points, starts(points, 3, generator))
    assert torch.bincount(labels).tolist() == [50, 50, 50]


def test_a_mean_without_points_moves_to_the_farthest_point() -> None:
    points = torch.tensor([[0.0], [1.0], [50.0]])
    means, _ = kmeans(points, torch.tensor([[0.0], [-1_000.0]]))
    assert sorted(means.flatten().tolist()) == [0.5, 50.0]


def test_fewer_different_points_than_means_are_no_error() -> None:
    points = torch.ones(5, 2)
    means, _ = kmeans(points, starts(points, 3, torch.Generator().manual_seed(0)))
    assert means.isfinite().all()


def test_distances_are_exact() -> None:
    index, squares = nearest(torch.tensor([[1.0, 1.0]]), torch.tensor([[4.0, 5.0], [1.0, 3.0]]))
    assert index.tolist() == [1] and squares.tolist() == [4.0]
