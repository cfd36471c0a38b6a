"""Attacks: equal to the closed form where there is one, as good as brute force where that can be tried."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor, nn

from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.explain.attacks import (
    Budget,
    away_from,
    fgsm,
    margin,
    minimum_levels,
    pgd,
    random_signs,
    toward,
)


class Linear(nn.Module):
    """Outputs that are weighted sums of pixels."""

    def __init__(self, outputs: int = 3, seed: int = 0) -> None:
        super().__init__()
        draws = torch.Generator().manual_seed(seed)
        self.weight = nn.Parameter(torch.randn(outputs, 2, 5, 5, generator=draws))

    def forward(self, frames: Tensor) -> Tensor:
        return torch.einsum("bchw,kchw->bk", frames, self.weight)


class Tiny(nn.Module):
    """A network of four pixels, so that every corner of a budget can be tried."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3))

    def forward(self, frames: Tensor) -> Tensor:
        out: Tensor = self.layers(frames / 32)
        return out


def draws() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def linear() -> tuple[Linear, Tensor, Tensor]:
    network, frames = Linear(), 20 + 200 * torch.rand(4, 2, 5, 5, generator=draws())
    return network, frames, network(frames).argmax(1)


def test_fgsm_equals_the_closed_form_on_a_linear_network() -> None:
    network, frames, chosen = linear()
    second = network(frames).scatter(1, chosen[:, None], float("-inf")).argmax(1)
    found = fgsm(away_from(network, chosen), frames, Budget(3.0))
    torch.testing.assert_close(found, frames - 3 * (network.weight[chosen] - network.weight[second]).sign())
    # the margin falls by the budget times the sum of the absolute weights, as for no other change of that size
    size = (network.weight[chosen] - network.weight[second]).abs().sum((1, 2, 3))
    gone = margin(network(frames), chosen) - (network(found)[range(4), chosen] - network(found)[range(4), second])
    torch.testing.assert_close(gone, 3 * size, rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("seed", range(8))
def test_pgd_finds_what_brute_force_finds(seed: int) -> None:
    network, levels = Tiny(seed), 12.0
    frames = 60 + 100 * torch.rand(1, 1, 2, 2, generator=torch.Generator().manual_seed(seed))
    chosen = network(frames).argmax(1)
    grid = torch.tensor(list(itertools.product((-1.0, -0.5, 0.0, 0.5, 1.0), repeat=4))).view(-1, 1, 2, 2)
    every = margin(network(frames + levels * grid), chosen.expand(len(grid))).detach()
    found = pgd(away_from(network, chosen), frames, Budget(levels), draws(), steps=20, starts=5, until=None)
    assert float((found - frames).abs().max()) <= levels + 1e-4
    least = margin(network(found), chosen).detach()
    assert float(least) <= float(every.min()) + 0.02 * float(every.max() - every.min())


def test_a_goal_is_reached_where_it_can_be() -> None:
    network, frames, _ = linear()
    for goal in range(3):
        wanted = torch.full((4,), goal)
        found = pgd(toward(network, wanted), frames, Budget(60.0), draws())
        assert (network(found).argmax(1) == wanted).all()


@pytest.mark.parametrize("name", ["fgsm", "pgd", "random"])
def test_nothing_leaves_the_budget(name: str) -> None:
    network, frames, chosen = linear()
    frames[0], frames[1] = 0.0, 255.0
    for budget in (Budget(2.0), Budget(2.0, newest=1), Budget(3.0, whole=True)):
        loss = away_from(network, chosen)
        found = {
            "fgsm": lambda loss=loss, budget=budget: fgsm(loss, frames, budget),
            "pgd": lambda loss=loss, budget=budget: pgd(loss, frames, budget, draws(), starts=2, until=None),
            "random": lambda budget=budget: random_signs(frames, budget, draws()),
        }[name]()  # type: ignore[no-untyped-call]
        change = found - frames
        assert change.abs().max() <= budget.levels + 1e-4 and change.abs().max() > 0
        assert found.min() >= 0 and found.max() <= 255
        if budget.newest:
            assert not change[:, :-1].any() and change[:, -1:].any()
        if budget.whole:
            torch.testing.assert_close(change[2:], change[2:].round(), atol=1e-4, rtol=0)


def test_frames_that_are_fooled_are_let_be_and_the_others_go_on() -> None:
    network, frames, chosen = linear()
    calls = []

    def counted(frames: Tensor, rows: Tensor) -> Tensor:
        calls.append(len(rows))
        return margin(network(frames), chosen[rows])

    found = pgd(counted, frames, Budget(40.0), draws())
    assert calls[0] == 4 and calls == sorted(calls, reverse=True) and len(calls) < 11
    assert (margin(network(found), chosen) < 0).all()


def test_more_starts_never_do_worse() -> None:
    network = Tiny(3)
    frames = 60 + 100 * torch.rand(16, 1, 2, 2, generator=draws())
    chosen = network(frames).argmax(1)
    one, many = (
        margin(network(pgd(away_from(network, chosen), frames, Budget(6.0), draws(), starts=n, until=None)), chosen)
        for n in (1, 4)
    )
    assert (many <= one + 1e-6).all()


def test_the_least_budget_of_a_linear_network_is_the_margin_over_the_weights() -> None:
    network, frames, chosen = linear()
    network = Linear(2)
    chosen = network(frames).argmax(1)
    size = (network.weight[0] - network.weight[1]).abs().sum()
    exact = (margin(network(frames), chosen) / size).detach()
    found = minimum_levels(
        lambda levels: fgsm(away_from(network, chosen), frames, Budget(levels)),
        lambda changed: network(changed).argmax(1) != chosen,
    )
    assert found.tolist() == [float(level) for level in exact.floor() + 1]
    none = minimum_levels(lambda levels: frames, lambda changed: torch.zeros(4, dtype=torch.bool))
    assert none.tolist() == [float("inf")] * 4


def test_budgets_in_another_unit_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"not in shares: 0\.00784 as a share is 2 levels"):
        Budget(0.00784)
    with pytest.raises(ConfigError, match="from 0 to 255"):
        Budget(-1)
    with pytest.raises(ConfigError, match="from 0 to 255"):
        Budget(300)


def test_a_network_without_gradients_is_refused_in_a_line() -> None:
    network, frames, chosen = linear()
    with pytest.raises(ConfigError, match="no gradient reaches the frame"):
        fgsm(away_from(lambda x: network(x.detach()).detach(), chosen), frames, Budget(1.0))
    with pytest.raises(ConfigError, match="no gradient reaches the frame"):
        fgsm(away_from(lambda x: network(x.round().detach()), chosen), frames, Budget(1.0))
    with pytest.raises(ConfigError, match="one output"):
        margin(torch.zeros(2, 1), torch.zeros(2, dtype=torch.int64))
