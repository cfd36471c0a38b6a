"""The runs of the lessons: what the figures claim is so."""

from __future__ import annotations

import math

import pytest
import torch
from classic_data import DIGITS, ship_digits
from vision_data import folder as two_things

from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.training import lesson_runs as runs


def small(monkeypatch: pytest.MonkeyPatch) -> runs.Points:
    ship_digits(monkeypatch)
    return runs.read_points(DIGITS).first(200)


def test_a_step_of_sgd_in_the_ravine_is_the_one_on_paper() -> None:
    start, rate = torch.tensor(runs.START), 0.01
    u = math.cos(runs.TURN) * start[0] + math.sin(runs.TURN) * start[1]
    v = math.cos(runs.TURN) * start[1] - math.sin(runs.TURN) * start[0]
    along = torch.tensor([math.cos(runs.TURN), math.sin(runs.TURN)])
    across = torch.tensor([-math.sin(runs.TURN), math.cos(runs.TURN)])
    expected = start - rate * (u * along + 40 * v * across)
    assert torch.allclose(runs.descend("SGD", rate)[1], expected, atol=1e-6)


def test_sgd_leaves_the_ravine_above_two_over_its_curvature() -> None:
    assert runs.height(runs.descend("SGD", 2 / 40 * 0.98)[-1]) < runs.height(torch.tensor(runs.START))
    assert runs.height(runs.descend("SGD", 2 / 40 * 1.02)[-1]) > runs.height(torch.tensor(runs.START))


@pytest.mark.parametrize("name", runs.OPTIMIZERS)
def test_every_update_rule_gets_down_at_its_best_rate(name: str) -> None:
    rate, path = runs.best_descent(name)
    assert rate in runs.RATES and runs.height(path[-1]) < 0.02 * runs.height(path[0])


def test_momentum_beats_plain_descent_in_a_ravine() -> None:
    ends = {name: float(runs.height(runs.best_descent(name)[1]).mean()) for name in ("SGD", "Nesterov")}
    assert ends["Nesterov"] < ends["SGD"]


def test_deep_sigmoids_die_out_and_tanh_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    points = small(monkeypatch)
    inputs = points.train[0] - points.train[0].mean(0)
    spread = {name: runs.spreads(runs.make_network(points, 0, name, 8), inputs) for name in ("sigmoid", "tanh")}
    assert len(spread["tanh"]) == 8
    assert spread["sigmoid"][-1] < 1e-4 and spread["tanh"][-1] > 0.05


def test_a_network_learns_and_the_same_seed_repeats_it(monkeypatch: pytest.MonkeyPatch) -> None:
    points = small(monkeypatch)
    records = [runs.train_network(runs.make_network(points, 3), points, 10, 3, rate=0.5) for _ in range(2)]
    assert records[0] == records[1]
    assert records[0]["loss"][0] < 3 and records[0]["train"][-1] > 0.9
    assert [len(values) for values in records[0].values()] == [10, 10, 10]


def test_held_out_are_val_and_test(monkeypatch: pytest.MonkeyPatch) -> None:
    points = small(monkeypatch)
    assert points.held[0].shape == (988, 64) and points.train[0].shape == (200, 64) and points.classes == 10
    assert torch.equal(points.shifted(torch.ones(())).held[0], points.held[0] + 1)


def test_images_of_several_categories_are_refused() -> None:
    with pytest.raises(ConfigError, match="one category each, such as package:digits"):
        runs.read_points(two_things())
