"""Certified choices: no attack changes one, and the learned bound is never below a divergence within the box."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rl_gen_lab.compression.distillation import soft_target_loss
from rl_gen_lab.explain.attacks import Budget, away_from, pgd
from rl_gen_lab.explain.certified import certified, margin_bounds, worst_soft_target_loss
from rl_gen_lab.explain.interval_bounds import Interval


class Body(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.fc, self.head = nn.Conv2d(1, 3, 3, 2), nn.Linear(27, 8), nn.Linear(8, 4)

    def features(self, x: Tensor) -> Tensor:
        return self.fc(self.conv(x / 64).relu().flatten(1)).relu()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.features(x))
        return out


def frames(count: int) -> Tensor:
    return 40 + 170 * torch.rand(count, 1, 8, 8, generator=torch.Generator().manual_seed(3))


def test_margins_bound_those_of_random_points_and_are_tighter_than_ends_of_outputs() -> None:
    network, x = Body(), frames(3)
    box = Interval.around(x, 4.0)
    with torch.no_grad():
        least, ends = margin_bounds(network.features(box), network.head), network(box)  # type: ignore[arg-type]
        assert (least >= ends.low[:, :, None] - ends.high[:, None] - 1e-4).all()
        for seed in range(200):
            noise = torch.rand(x.shape, generator=torch.Generator().manual_seed(seed)) * 8 - 4
            out = network(x + noise)
            assert (out[:, :, None] - out[:, None] >= least - 1e-5).all()


def test_a_last_layer_that_is_not_linear_is_bounded_by_the_ends_of_its_outputs() -> None:
    network, x = Body(), frames(3)
    head = nn.Sequential(nn.Linear(8, 2), nn.Linear(2, 4))  # as a factored layer is
    box = network.features(Interval.around(x, 4.0))  # type: ignore[arg-type]
    with torch.no_grad():
        least = margin_bounds(box, head)  # type: ignore[arg-type]
        assert not least.diagonal(dim1=1, dim2=2).any()
        for seed in range(50):
            noise = torch.rand(x.shape, generator=torch.Generator().manual_seed(seed)) * 8 - 4
            out = head(network.features(x + noise))
            assert (out[:, :, None] - out[:, None] >= least - 1e-5).all()


def test_no_attack_changes_a_certified_choice_and_without_a_budget_all_are_certified() -> None:
    network, x = Body(), frames(64)
    chosen = network(x).argmax(1)
    counts = []
    for levels in (0.0, 2.0, 8.0, 60.0):
        with torch.no_grad():
            sure = certified(margin_bounds(network.features(Interval.around(x, levels)), network.head), chosen)  # type: ignore[arg-type]
        found = pgd(away_from(network, chosen), x, Budget(levels), torch.Generator().manual_seed(0), starts=2)
        flipped = network(found).argmax(1) != chosen
        assert not (flipped & sure).any()
        counts.append((int(sure.sum()), int(flipped.sum())))
    assert counts[0] == (64, 0) and counts[-1][0] < 64 and counts[-1][1] > 0


def test_the_learned_bound_is_the_divergence_without_a_budget_and_never_below_it_with_one() -> None:
    network, x, teacher = Body(), frames(5), torch.randn(5, 4, generator=torch.Generator().manual_seed(1))
    weight = torch.rand(5, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        none = margin_bounds(network.features(Interval.around(x, 0.0)), network.head)  # type: ignore[arg-type]
        torch.testing.assert_close(
            worst_soft_target_loss(none, teacher, 2.0, weight), soft_target_loss(network(x), teacher, 2.0, weight)
        )
        some = margin_bounds(network.features(Interval.around(x, 3.0)), network.head)  # type: ignore[arg-type]
        bound = worst_soft_target_loss(some, teacher, 2.0)
        for seed in range(50):
            noise = torch.rand(x.shape, generator=torch.Generator().manual_seed(seed)) * 6 - 3
            assert soft_target_loss(network(x + noise), teacher, 2.0) <= bound + 1e-6


def test_learning_the_bound_makes_choices_certified() -> None:
    network, x = Body(), frames(32)
    with torch.no_grad():
        teacher = 3 * network(x)
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)

    def margins() -> Tensor:
        return margin_bounds(network.features(Interval.around(x, 25.0)), network.head)  # type: ignore[arg-type]

    before = certified(margins(), teacher.argmax(1)).float().mean()
    for _ in range(150):
        loss = worst_soft_target_loss(margins(), teacher)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    after = certified(margins(), teacher.argmax(1)).float().mean()
    assert after > before + 0.2
