"""Plans of low rank: ranks against numpy's singular values in float64, sizes against the layers that are built."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from agents.rl.q_networks import QNetwork
from rl_gen_lab.backbones.blocks import DropConnectConv2d
from rl_gen_lab.backbones.convolutional import ScaledConv2d
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.compression import levels, low_rank
from rl_gen_lab.compression.layers import chosen
from rl_gen_lab.compression.pruning import Pruner
from rl_gen_lab.compression.rank_plan import plan_by_budget, plan_by_energy

BACKBONES = ("small", "8x8s4-8x4s2-8x3s1-32")


def network(backbone: str = "8x8s4-8x4s2-8x3s1-32") -> QNetwork:
    torch.manual_seed(0)
    return QNetwork(backbone, (4, 44, 44), 6, False)


def rank(matrix: np.ndarray, share: float) -> int:
    energies = np.linalg.svd(matrix.astype(np.float64), compute_uv=False) ** 2
    return next(r for r in range(1, len(energies) + 1) if energies[:r].sum() >= share * energies.sum() * (1 - 1e-12))


def unfolded(weight: Tensor, *rows: int) -> np.ndarray:
    """A matrix whose rows are these axes, in order, and whose columns are the others."""
    array = weight.detach().numpy()
    rest = [axis for axis in range(array.ndim) if axis not in rows]
    return np.transpose(array, (*rows, *rest)).reshape(int(np.prod([array.shape[axis] for axis in rows])), -1)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("backbone", BACKBONES)
def test_ranks_keep_the_share_of_the_energy(backbone: str, share: float) -> None:
    made = network(backbone)
    plan = plan_by_energy(made, share)
    kinds = {"backbone.conv.0": "separable", "backbone.fc": "linear", "advantage": "linear"}
    for entry in plan:
        weight = made.get_submodule(entry["layer"]).weight
        assert entry["kind"] == kinds.get(entry["layer"], "tucker")
        if entry["kind"] == "linear":
            assert entry["ranks"] == [rank(unfolded(weight, 0), share)]
        elif entry["kind"] == "separable":
            assert entry["ranks"] == [rank(unfolded(weight, 1, 2), share)]
        else:
            assert entry["ranks"] == [rank(unfolded(weight, 1), share), rank(unfolded(weight, 0), share)]


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8, 0.9])
@pytest.mark.parametrize("backbone", BACKBONES)
def test_layers_are_in_the_plan_where_their_factors_have_fewer_numbers(backbone: str, share: float) -> None:
    made = network(backbone)
    before = {name: module.weight.numel() for name, module in chosen(made, ())}
    plan = {entry["layer"]: entry for entry in plan_by_energy(made, share)}
    low_rank.factor(made, list(plan.values()))
    for name in plan:
        assert (
            sum(p.numel() for key, p in made.get_submodule(name).named_parameters() if "weight" in key) < before[name]
        )
    left_out = network(backbone)
    for name in before.keys() - plan.keys():
        (entry,) = _plan_of_any_size(left_out, name, share)
        low_rank.factor(left_out, [entry])
        weights = left_out.get_submodule(name).named_parameters()
        assert sum(p.numel() for key, p in weights if "weight" in key) >= before[name]


def _plan_of_any_size(made: nn.Module, name: str, share: float) -> list[dict[str, Any]]:
    weight: Tensor = made.get_submodule(name).weight  # type: ignore[assignment]
    if weight.dim() == 2:
        return [{"layer": name, "kind": "linear", "ranks": [rank(unfolded(weight, 0), share)]}]
    if name == "backbone.conv.0":
        return [{"layer": name, "kind": "separable", "ranks": [rank(unfolded(weight, 1, 2), share)]}]
    ranks = [rank(unfolded(weight, 1), share), rank(unfolded(weight, 0), share)]
    return [{"layer": name, "kind": "tucker", "ranks": ranks}]


def test_a_layer_of_low_rank_is_found_exactly() -> None:
    layer = nn.Sequential(nn.Linear(20, 30))
    with torch.no_grad():
        layer[0].weight.copy_(torch.randn(30, 3) @ torch.randn(3, 20))
    assert plan_by_energy(layer, 1 - 1e-6) == [{"layer": "0", "kind": "linear", "ranks": [3]}]


def test_only_the_layers_named_are_planned() -> None:
    plan = plan_by_energy(network(), 0.5, ("fc", "conv.2"))
    assert [entry["layer"] for entry in plan] == ["backbone.conv.2", "backbone.fc"]
    with pytest.raises(ConfigError, match="no layer is named 'head'"):
        plan_by_energy(network(), 0.5, ("head",))


def test_layers_that_cannot_be_factored_are_left_as_they_are() -> None:
    torch.manual_seed(0)
    kinds = [DropConnectConv2d(8, 8, 3), nn.Conv2d(8, 8, 3, groups=2), nn.Embedding(50, 8), nn.ConvTranspose2d(8, 8, 3)]
    made = nn.Sequential(*kinds, nn.Linear(40, 40), nn.Conv1d(8, 8, 3), nn.MultiheadAttention(40, 1))
    plan = plan_by_energy(made, 0.3)
    assert [entry["layer"] for entry in plan] == ["4"]
    low_rank.factor(made, plan)  # as planned


def test_first_convolutions_of_any_window_are_split_by_rows_and_columns() -> None:
    torch.manual_seed(0)
    made = nn.Sequential(ScaledConv2d((3, 20, 20), 16, 5, padding=2))
    (entry,) = plan_by_energy(made, 0.5)
    assert entry["kind"] == "separable" and entry["ranks"] == [rank(unfolded(made[0].weight, 1, 2), 0.5)]


def test_there_must_be_something_to_gain() -> None:
    with pytest.raises(ConfigError, match="nothing to factor: with 100% of the energy"):
        plan_by_energy(network(), 1.0)
    with pytest.raises(ConfigError, match="share of the energy"):
        plan_by_energy(network(), 0.0)


def test_masked_and_quantized_layers_are_refused_unless_others_are_named() -> None:
    made = network()
    Pruner(chosen(made, ("fc",)), 0.5, "layer")
    levels.quantize(chosen(made, ("conv.2",)), 4)
    for layers in ((), ("fc",), ("conv.2", "conv.4")):
        with pytest.raises(ConfigError, match="is pruned or quantized already: put low_rank before"):
            plan_by_energy(made, 0.5, layers)
    assert plan_by_energy(made, 0.5, ("conv.4",))[0]["layer"] == "backbone.conv.4"


@pytest.mark.parametrize("budget", [500, 900])
def test_a_budget_holds_and_more_of_it_loses_less(budget: int) -> None:
    def factored(numbers: int) -> tuple[int, float]:
        made, whole = network(), network()
        plan = plan_by_budget(made, numbers)
        low_rank.factor(made, plan)
        names = [entry["layer"] for entry in plan]
        stored = sum(
            p.numel()
            for name in names
            for key, p in made.get_submodule(name).named_parameters()
            if key.endswith("weight")
        )
        frames = torch.randint(0, 256, (8, 4, 44, 44), dtype=torch.uint8)
        with torch.no_grad():
            return stored, float((made(frames) - whole(frames)).square().mean())

    torch.manual_seed(1)
    stored, error = factored(budget)
    torch.manual_seed(1)
    more, smaller_error = factored(2 * budget)
    assert stored <= budget and stored < more <= 2 * budget and smaller_error < error


def test_budgets_that_fit_nothing_are_refused() -> None:
    with pytest.raises(ConfigError, match="too small: rank 1"):
        plan_by_budget(network(), 10)
    with pytest.raises(ConfigError, match="no layer would get smaller"):
        plan_by_budget(network(), 10**9)
    pruned = network()
    Pruner(chosen(pruned, ()), 0.5, "network")
    with pytest.raises(ConfigError, match="put low_rank before"):
        plan_by_budget(pruned, 1_000)
