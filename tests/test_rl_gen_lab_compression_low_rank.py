"""Low-rank factors against numpy in float64, brute force over ranks, and the layers that they replace."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rl_gen_lab.backbones import build
from rl_gen_lab.backbones.blocks import DropConnectConv2d
from rl_gen_lab.backbones.convolutional import ScaledConv2d
from rl_gen_lab.backbones.flops import count
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.compression import low_rank as lr

SHAPE = (4, 84, 84)
CONVOLUTIONS = [
    nn.Conv2d(6, 5, 3, stride=2, padding=1),
    nn.Conv2d(3, 8, (5, 2), stride=(1, 3), padding=(2, 0), dilation=(2, 1)),
    nn.Conv2d(4, 4, 3, padding="same", bias=False),
    nn.Conv2d(4, 6, 3, padding=1, padding_mode="reflect"),
    nn.Conv2d(7, 4, 1, stride=2),
]
LAYERS = [(nn.Linear(7, 12), "linear"), (nn.Linear(12, 7, bias=False), "linear")]
LAYERS += itertools.product(CONVOLUTIONS, ["tucker", "separable"])


def entry(layer: str, kind: str, *ranks: Any) -> dict[str, Any]:
    return {"layer": layer, "kind": kind, "ranks": list(ranks)}


PLAN = [entry("conv.0", "separable", 6), entry("conv.2", "tucker", 5, 9), entry("fc", "linear", 17)]


def numbers(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def frames(*shape: int) -> Tensor:
    return torch.randint(256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def small() -> nn.Module:
    torch.manual_seed(0)
    network = build("small", SHAPE)
    network.standardize(frames(5, 1, 84, 84) // 2)
    return network


def factor_fully(network: nn.Module, name: str, kind: str) -> None:
    weight = network.get_submodule(name).weight
    ranks = (weight.shape[1], weight.shape[0]) if kind == "tucker" else (min(lr.matrix_of(weight).shape),)
    lr.factor(network, [entry(name, kind, *ranks)])


def array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().double().numpy()


def weights(network: nn.Sequential) -> list[np.ndarray]:
    assert isinstance(network[0], nn.Sequential) and all(part.bias is None for part in network[0][:-1])
    return [array(part.weight) for part in network[0]]


def best_of_rank(matrix: np.ndarray, rank: int) -> np.ndarray:
    left, singular, right = np.linalg.svd(matrix, full_matrices=False)
    return (left[:, :rank] * singular[:rank]) @ right[:rank]


def tucker_kernel(network: nn.Sequential) -> np.ndarray:
    """The full kernel (C', C, k, k) that a 1x1, a k x k and a 1x1 convolution make."""
    first, core, last = weights(network)
    return np.einsum("oj,jihw,ic->ochw", last[:, :, 0, 0], core, first[:, :, 0, 0])


def separable_kernel(network: nn.Sequential) -> np.ndarray:
    """The full kernel (C', C, k, k) that a k x 1 and a 1 x k convolution make."""
    vertical, horizontal = weights(network)
    return np.einsum("orx,rcy->ocyx", horizontal[:, :, 0], vertical[..., 0])


def hooi(weight: np.ndarray, rank_in: int, rank_out: int, times: int) -> np.ndarray:
    """HOSVD on the channel modes, improved so many times. Source: De Lathauwer et al. 2000."""

    def leading(tensor: np.ndarray, rank: int) -> np.ndarray:
        return np.linalg.svd(tensor.reshape(len(tensor), -1))[0][:, :rank]

    out, into = leading(weight, rank_out), leading(weight.swapaxes(0, 1), rank_in)
    for _ in range(times):
        out = leading(np.einsum("ochw,ci->oihw", weight, into), rank_out)
        into = leading(np.einsum("ochw,oj->cjhw", weight, out), rank_in)
    return np.einsum("oj,pj,pdhw,di,ci->ochw", out, out, weight, into, into, optimize=True)


@pytest.mark.parametrize(("layer", "kind"), LAYERS)
def test_a_layer_of_full_rank_gives_the_same(layer: nn.Module, kind: str) -> None:
    network = nn.Sequential(layer)
    x = numbers(5, layer.in_features) if kind == "linear" else numbers(2, layer.in_channels, 13, 16)
    before = network(x.float())
    factor_fully(network, "0", kind)
    assert len(weights(network)) == (3 if kind == "tucker" else 2)
    assert (network[0][-1].bias is None) == (layer.bias is None)
    torch.testing.assert_close(network(x.float()), before, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", ["tucker", "separable"])
@pytest.mark.parametrize(("kernel", "stride", "padding"), [(8, 4, 0), (3, 1, 1), (5, 2, 2)])
def test_a_first_layer_of_full_rank_gives_the_same(kernel: int, stride: int, padding: int, kind: str) -> None:
    conv, x = ScaledConv2d((4, 24, 32), 10, kernel, stride, padding), frames(3, 4, 24, 32)
    conv.standardize(frames(5, 1, 24, 32) // 2)
    assert conv.mean.std() > 10 and abs(conv.scale - 1 / 255) > 1e-3
    network = nn.Sequential(conv)
    before = network(x)
    factor_fully(network, "0", kind)
    assert isinstance(network[0][0], ScaledConv2d) and torch.equal(network[0][0].mean, conv.mean)
    torch.testing.assert_close(network(x), before, rtol=0, atol=1e-5)


@pytest.mark.parametrize("conv_kind", ["tucker", "separable"])
def test_a_backbone_of_full_rank_gives_the_same_and_learns(conv_kind: str) -> None:
    network, x = small(), frames(2, *SHAPE)
    before = network(x)
    for name, kind in {"conv.0": conv_kind, "conv.2": conv_kind, "conv.4": conv_kind, "fc": "linear"}.items():
        factor_fully(network, name, kind)
    after = network(x)
    torch.testing.assert_close(after, before, rtol=0, atol=1e-5)
    after.sum().backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in network.parameters())


@pytest.mark.parametrize("rank", [1, 4, 9])
def test_linear_factors_are_the_best_of_their_rank_and_share_the_singular_values_evenly(rank: int) -> None:
    network = nn.Sequential(nn.Linear(14, 9)).double()
    weight, bias = array(network[0].weight), network[0].bias
    lr.factor_linear(network, "0", rank)
    first, last = weights(network)
    assert first.shape == (rank, 14) and last.shape == (9, rank) and torch.equal(network[0][1].bias, bias)
    np.testing.assert_allclose(last @ first, best_of_rank(weight, rank), atol=1e-12)
    singular = np.diag(np.linalg.svd(weight)[1][:rank])
    np.testing.assert_allclose(first @ first.T, singular, atol=1e-12)
    np.testing.assert_allclose(last.T @ last, singular, atol=1e-12)


@pytest.mark.parametrize(("rank_in", "rank_out"), [(1, 1), (2, 5), (6, 3), (7, 4), (7, 1)])
def test_tucker_factors_run_as_their_kernel_and_err_less_than_plain_hosvd(rank_in: int, rank_out: int) -> None:
    network = nn.Sequential(nn.Conv2d(7, 8, (3, 2), stride=2, padding=1)).double()
    network[0].weight.data = numbers(8, 7, 3, 2)
    weight, x = array(network[0].weight), numbers(2, 7, 9, 9)
    lr.factor_conv_tucker(network, "0", rank_in, rank_out)
    kernel = tucker_kernel(network)
    direct = F.conv2d(x, torch.from_numpy(kernel), network[0][-1].bias, 2, 1)
    torch.testing.assert_close(network(x), direct, rtol=0, atol=1e-12)
    first, _, last = weights(network)
    np.testing.assert_allclose(first[:, :, 0, 0] @ first[:, :, 0, 0].T, np.eye(rank_in), atol=1e-12)
    np.testing.assert_allclose(last[:, :, 0, 0].T @ last[:, :, 0, 0], np.eye(rank_out), atol=1e-12)
    np.testing.assert_allclose(kernel, hooi(weight, rank_in, rank_out, lr.HOOI_ITERATIONS), atol=1e-9)
    error, once, plain = (
        np.square(weight - k).sum() for k in (kernel, *(hooi(weight, rank_in, rank_out, n) for n in (1, 0)))
    )
    # with all input channels only one mode is cut: plain HOSVD is the optimum already
    assert error == pytest.approx(plain, abs=1e-9) if rank_in == 7 else error < once < plain - 1e-3


def test_tucker_finds_a_kernel_of_low_rank_exactly_even_with_more_channels_than_it_spans() -> None:
    low = torch.einsum("oj,jihw,ci->ochw", numbers(7, 3), numbers(3, 2, 3, 3), numbers(6, 2)), (2, 3)
    for kernel, ranks in (low, (numbers(1, 20, 2, 2), (10, 1))):  # the second: of rank 4
        network = nn.Sequential(nn.Conv2d(kernel.shape[1], kernel.shape[0], kernel.shape[2])).double()
        network[0].weight.data = kernel
        lr.factor_conv_tucker(network, "0", *ranks)
        np.testing.assert_allclose(tucker_kernel(network), kernel.numpy(), atol=1e-7)


@pytest.mark.parametrize("rank", [1, 5, 12])
def test_separable_factors_run_as_the_best_kernel_of_their_rank(rank: int) -> None:
    network, x = nn.Sequential(nn.Conv2d(4, 8, (3, 5), (2, 1), (0, 2))).double(), numbers(2, 4, 11, 10)
    weight = array(network[0].weight)
    lr.factor_conv_separable(network, "0", rank)
    vertical, horizontal = weights(network)
    assert vertical.shape == (rank, 4, 3, 1) and horizontal.shape == (8, rank, 1, 5)
    assert np.linalg.norm(vertical) == pytest.approx(np.linalg.norm(horizontal))
    kernel = separable_kernel(network)
    direct = F.conv2d(x, torch.from_numpy(kernel), network[0][-1].bias, (2, 1), (0, 2))
    torch.testing.assert_close(network(x), direct, rtol=0, atol=1e-12)
    flat, kept = (k.transpose(1, 2, 0, 3).reshape(4 * 3, 8 * 5) for k in (weight, kernel))
    np.testing.assert_allclose(kept, best_of_rank(flat, rank), atol=1e-12)


@pytest.mark.parametrize("seed", range(20))
def test_the_rank_by_energy_is_the_smallest_that_holds_the_share(seed: int) -> None:
    draw = np.random.default_rng(seed)
    matrix = draw.normal(size=draw.integers(1, 9, 2)) * 10 ** draw.uniform(-3, 3)
    share, full = draw.uniform(0.01, 0.99), min(matrix.shape)
    held = [np.square(best_of_rank(matrix, rank)).sum() / np.square(matrix).sum() for rank in range(full + 1)]
    rank = lr.rank_by_energy(torch.from_numpy(matrix), share)
    assert held[rank] >= share > held[rank - 1]
    assert lr.rank_by_energy(torch.from_numpy(matrix), 1) == full


def test_the_rank_by_energy_of_a_convolution_is_that_of_its_separable_factors() -> None:
    two_products = torch.einsum("cry,orx->ocyx", numbers(4, 2, 3), numbers(5, 2, 3))
    assert lr.rank_by_energy(two_products, 1 - 1e-12) == 2
    assert lr.rank_by_energy(torch.zeros(3, 4), 0.9) == 1
    for share in (0, -0.5, 1.01, float("nan")):
        with pytest.raises(ConfigError, match="above 0 and at most 1"):
            lr.rank_by_energy(torch.eye(3), share)


def kept_energy(matrices: dict[str, Tensor], ranks: dict[str, int]) -> float:
    squares = {name: np.square(np.linalg.svd(array(matrix))[1]) for name, matrix in matrices.items()}
    return float(sum(s[: ranks[name]].sum() / s.sum() for name, s in squares.items()))


def spent(matrices: dict[str, Tensor], ranks: dict[str, int]) -> int:
    return sum(rank * sum(matrices[name].shape) for name, rank in ranks.items())


@pytest.mark.parametrize("seed", range(12))
def test_ranks_that_cost_the_same_are_the_best_of_all_within_the_budget(seed: int) -> None:
    draw = np.random.default_rng(seed)
    shapes = {"a": (5, 7), "b": (8, 4), "c": (6, 6)}
    matrices = {n: torch.from_numpy(draw.normal(size=s) ** 3 * draw.uniform(0.1, 9)) for n, s in shapes.items()}
    budget = int(draw.integers(36, 200))
    found = lr.ranks_by_budget(matrices, budget)
    assert spent(matrices, found) <= budget and min(found.values()) >= 1
    choices = (dict(zip("abc", r, strict=True)) for r in itertools.product(range(1, 6), range(1, 5), range(1, 7)))
    best = max(kept_energy(matrices, ranks) for ranks in choices if spent(matrices, ranks) <= budget)
    assert kept_energy(matrices, found) == pytest.approx(best)


def test_ranks_go_where_a_number_keeps_most() -> None:
    matrices = {"steep": torch.diag(2.0 ** -torch.arange(60)), "flat": torch.eye(25)}  # 120 and 50 numbers a rank
    uniform = {"steep": 5, "flat": 5}
    assert (ranks := lr.ranks_by_budget(matrices, spent(matrices, uniform))) == {"steep": 2, "flat": 12}
    assert spent(matrices, ranks) == 840 and kept_energy(matrices, ranks) > kept_energy(matrices, uniform) + 0.2
    # what is too little for the first choice goes to another layer, and nothing is spent on rounding
    matrices = {"wide": torch.eye(2, 100), "narrow": torch.diag(torch.tensor([1.0, 0.01, 0.0]))}
    assert lr.ranks_by_budget(matrices, 102 + 6 + 101) == {"wide": 1, "narrow": 2}
    outer = (numbers(30, 1) @ numbers(1, 20)).float()
    assert lr.ranks_by_budget({"outer": outer}, 10_000) == {"outer": 1}


def test_a_budget_below_rank_one_and_no_matrices_are_refused() -> None:
    matrices = {"a": torch.eye(3), "b": numbers(5, 4, 3, 3)}  # 6 and 12 + 15 numbers
    assert lr.ranks_by_budget(matrices, 33) == {"a": 1, "b": 1}
    with pytest.raises(ConfigError, match="32 numbers is too small: rank 1 of each of the 2 layers takes 33"):
        lr.ranks_by_budget(matrices, 32)
    with pytest.raises(ConfigError, match="nothing to factor"):
        lr.ranks_by_budget({}, 100)


def test_the_budget_is_what_the_factors_of_a_backbone_store() -> None:
    network, kinds = small(), {"conv.2": "separable", "conv.4": "separable", "fc": "linear"}
    matrices = {name: network.get_submodule(name).weight for name in kinds}
    before = lr.stored_numbers(network)
    assert before == count(network, SHAPE).parameters + network.conv[0].mean.numel() + 1
    others = before - sum(weight.numel() for weight in matrices.values())
    ranks = lr.ranks_by_budget(matrices, 100_000)
    lr.factor(network, [entry(name, kind, ranks[name]) for name, kind in kinds.items()])
    assert 98_000 < lr.stored_numbers(network) - others <= 100_000


def test_saved_weights_of_a_factored_network_load_into_a_new_one(monkeypatch: pytest.MonkeyPatch) -> None:
    factored, new, x = small(), build("small", SHAPE), frames(1, *SHAPE)
    assert lr.factor(factored, PLAN) is factored
    with monkeypatch.context() as without_decompositions:
        without_decompositions.setattr(torch, "linalg", None)
        assert lr.build_factored(new, PLAN) is new
    assert not torch.equal(new(x), factored(x))
    new.load_state_dict(factored.state_dict())
    assert torch.equal(new(x), factored(x))
    assert lr.stored_numbers(new) < 0.3 * lr.stored_numbers(small())


def test_factors_keep_type_mode_and_frozen_weights_and_a_layer_used_twice_stays_one() -> None:
    shared = nn.Linear(6, 6, bias=False)
    network = nn.ModuleDict({"a": shared, "b": nn.Sequential(shared)}).double().eval().requires_grad_(False)
    lr.factor_linear(network, "b.0", 2)
    assert lr.stored_numbers(network) == 2 * 6 * 2
    factors = network["a"]
    assert factors is network.get_submodule("b.0") and len(list(factors)) == 2 and not factors[0].training
    assert all(p.dtype == torch.float64 and not p.requires_grad for p in factors.parameters())


REFUSED = [
    (entry("fcc", "linear", 1), "'fcc' does not exist; linear factors linear layers, here: fc. Did you mean 'fc'"),
    (entry("conv.0", "linear", 1), "'conv.0' is a ScaledConv2d; linear factors .*: fc"),
    (entry("fc", "separable", 1), "'fc' is a Linear; .* here: conv.0, conv.2, conv.4"),
    (entry("fc", "svd", 1), "unknown kind 'svd'; known: linear, tucker, separable"),
    (entry("fc", "linear", 0), "'fc': a rank must be a whole number from 1 to 256 here, not 0"),
    (entry("conv.2", "tucker", 17, 32), "from 1 to 16 here, not 17"),
    (entry("conv.2", "tucker", 16, 33), "from 1 to 32 here, not 33"),
    (entry("conv.0", "separable", 33), "from 1 to 32 here, not 33"),
    (entry("fc", "linear", 1.5), "whole number .* not 1.5"),
    (entry("conv.2", "tucker", 4), r"tucker takes a list of 2 rank\(s\), not \[4\]"),
    ({"layer": "fc", "kind": "linear", "ranks": 4}, r"a list of 1 rank\(s\), not 4"),
    ({"layer": "fc", "kind": "linear"}, "needs exactly layer, kind and ranks"),
    (PLAN[1], "'conv.2' stands twice in the plan"),
]


@pytest.mark.parametrize("change", [lr.factor, lr.build_factored])
def test_plans_that_cannot_work_are_refused_and_change_nothing(change: Any) -> None:
    network = small()
    before = list(network.state_dict())
    for wrong, message in REFUSED:
        with pytest.raises(ConfigError, match=message):
            change(network, [PLAN[1], wrong])
    assert list(network.state_dict()) == before
    for without in (nn.Sequential(nn.ReLU()), nn.Linear(3, 3)):
        with pytest.raises(ConfigError, match="nothing to factor"):
            change(without, [])
    for layer in (nn.Conv2d(4, 4, 3, groups=2), DropConnectConv2d(4, 4, 3)):  # they do more than their weight says
        with pytest.raises(ConfigError, match=r"'1' is a .*Conv2d; tucker factors .* without groups, here: 0"):
            change(nn.Sequential(nn.Conv2d(4, 4, 3), layer), [entry("1", "tucker", 2, 2)])
