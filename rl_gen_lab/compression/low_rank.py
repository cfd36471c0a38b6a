"""Layers replaced by products of smaller ones: low-rank factors of linear layers and convolutions.

A plan says what becomes of a network: a list of {"layer": dotted name, "kind": a key of KINDS, "ranks": [...]}.
`factor` decomposes the weights, `build_factored` only makes layers of the same shapes, for saved weights to load. Both
check the whole plan before they change anything. Weights are decomposed in float64; factors keep the layer's type,
device and mode. A layer's bias goes to its last factor; the others have none, so that padding with zeros between them
is the padding of the input.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from rl_gen_lab.backbones.convolutional import ScaledConv2d
from rl_gen_lab.cli.errors import ConfigError, suggest

Plan = Sequence[Mapping[str, Any]]
Layer = nn.Linear | nn.Conv2d
# What each kind factors. A subclass does not count, except ScaledConv2d: it may do more than its weight says.
CONVOLUTIONS = "convolutions without groups"
KINDS = {"linear": "linear layers", "tucker": CONVOLUTIONS, "separable": CONVOLUTIONS}
HOOI_ITERATIONS = 5  # fifty lower the error of random weights by 0.15 % more
NEGLIGIBLE = torch.finfo(torch.float32).eps ** 2  # share of the energy that float32 weights lose by rounding anyway


def factor_linear(network: nn.Module, name: str, rank: int) -> None:
    """Replace the linear layer `name`, in place, by Linear(in, rank) and Linear(rank, out), the best of this rank.

    Each factor gets the square roots of the singular values: equal norms, for training to go on.
    Source: Xue et al. 2013, "Restructuring of deep neural network acoustic models with singular value decomposition";
    Denton et al. 2014, "Exploiting linear structure within convolutional networks for efficient evaluation".
    Raises: ConfigError, as `factor`.
    """
    factor(network, [{"layer": name, "kind": "linear", "ranks": [rank]}])


def factor_conv_tucker(network: nn.Module, name: str, rank_in: int, rank_out: int) -> None:
    """Replace the convolution `name`, in place, by a 1x1, a k x k (rank_in to rank_out channels) and a 1x1 one.

    HOSVD of the weight on its two channel modes, improved by HOOI; the outer factors are orthonormal.
    Source: Kim et al. 2016, "Compression of deep convolutional neural networks for fast and low power mobile
    applications"; De Lathauwer et al. 2000, "On the best rank-1 and rank-(R1, R2, ..., RN) approximation of
    higher-order tensors". Raises: ConfigError, as `factor`.
    """
    factor(network, [{"layer": name, "kind": "tucker", "ranks": [rank_in, rank_out]}])


def factor_conv_separable(network: nn.Module, name: str, rank: int) -> None:
    """Replace the convolution `name`, in place, by a k x 1 one to `rank` channels and a 1 x k one.

    They are the truncated SVD of `matrix_of` its weight, the square roots of the singular values in each.
    Source: Jaderberg et al. 2014, "Speeding up convolutional neural networks with low rank expansions", scheme 2.
    Raises: ConfigError, as `factor`.
    """
    factor(network, [{"layer": name, "kind": "separable", "ranks": [rank]}])


def factor(network: nn.Module, plan: Plan) -> nn.Module:
    """Replace the layers of the plan, in place, by factors that approximate them. Returns `network`.

    Raises: ConfigError for a layer that does not exist, is of another kind or stands twice in the plan, for ranks out
    of range and for a network without a linear layer or convolution.
    """
    return _replace(network, plan, decompose=True)


def build_factored(network: nn.Module, plan: Plan) -> nn.Module:
    """Replace the layers of the plan, in place, by factors with random weights. Returns `network`.

    The state_dict of a network that `factor` changed by this plan loads into it. Raises: ConfigError, as `factor`.
    """
    return _replace(network, plan, decompose=False)


def matrix_of(weight: Tensor) -> Tensor:
    """Return the matrix (M, N) whose rank linear or separable factors lower: M + N numbers for each.

    weight: (out, in) of a linear layer, returned as it is; (C', C, k, k') of a convolution -> (C * k, C' * k').
    """
    return weight if weight.dim() == 2 else weight.permute(1, 2, 0, 3).flatten(2).flatten(0, 1)


def rank_by_energy(weight_matrix: Tensor, share: float) -> int:
    """Return the smallest rank whose squared singular values sum to at least `share`, in (0, 1], of all.

    weight_matrix: (M, N) of any type, or a convolution's weight, for `matrix_of` it. Raises: ConfigError for another
    share.
    """
    if not 0 < share <= 1:
        raise ConfigError(f"the share of the energy to keep must be above 0 and at most 1, not {share}")
    cumulative = _energies(weight_matrix).cumsum(0)
    return int((cumulative < share * cumulative[-1]).sum()) + 1


def ranks_by_budget(matrices: Mapping[str, Tensor], budget: int) -> dict[str, int]:
    """Choose ranks, at least 1, that keep much of each matrix with at most `budget` numbers in all factors.

    Maximizes the sum over matrices of the kept share of squared singular values, greedily: next comes the singular
    value that adds most for each stored number, of those that fit; optimal where all matrices have the same M + N.
    matrices: (M, N) of any type, or a convolution's weight, for `matrix_of` it; a rank takes M + N numbers.
    Returns ranks by name. Raises: ConfigError when there is no matrix or not even rank 1 of each fits.
    """
    if not matrices:
        raise ConfigError("nothing to factor: no matrices")
    costs = {name: sum(matrix_of(matrix).shape) for name, matrix in matrices.items()}
    left = budget - sum(costs.values())
    if left < 0:
        least = f"rank 1 of each of the {len(costs)} layers takes {sum(costs.values())}"
        raise ConfigError(f"a budget of {budget} numbers is too small: {least}")
    steps: list[tuple[float, str]] = []
    for name, matrix in matrices.items():
        energies = _energies(matrix)
        shares = energies / energies.sum().clamp_min(torch.finfo(energies.dtype).tiny)
        steps += [(share / costs[name], name) for share in shares[1:].tolist() if share > NEGLIGIBLE]
    ranks = dict.fromkeys(matrices, 1)
    # One pass is enough: a step that does not fit now will not fit later, nor will the later ones of its matrix.
    for _, name in sorted(steps, key=lambda step: -step[0]):
        if costs[name] <= left:
            ranks[name] += 1
            left -= costs[name]
    return ranks


def stored_numbers(network: nn.Module) -> int:
    """Count the numbers in the network's state_dict, parameters and buffers; shared tensors count once."""
    return sum({id(tensor): tensor.numel() for tensor in network.state_dict(keep_vars=True).values()}.values())


class _ScaledFactor(ScaledConv2d):
    """First factor of a ScaledConv2d: its mean and scale, any window, no bias."""

    def __init__(self, layer: ScaledConv2d, out: int, **options: Any) -> None:
        nn.Conv2d.__init__(self, layer.in_channels, out, bias=False, **options)  # the base takes square windows only
        self.register_buffer("mean", layer.mean.clone())
        self.register_buffer("scale", layer.scale.clone())


def _fits(layer: nn.Module, kind: str) -> bool:
    types = (nn.Linear,) if kind == "linear" else (nn.Conv2d, ScaledConv2d)
    return type(layer) in types and getattr(layer, "groups", 1) == 1


def _replace(network: nn.Module, plan: Plan, decompose: bool) -> nn.Module:
    modules = dict(network.named_modules(remove_duplicate=False))
    del modules[""]  # the network itself has no place where factors could go
    if not any(_fits(module, kind) for kind in KINDS for module in modules.values()):
        raise ConfigError("nothing to factor: the network has no linear layer and no convolution inside it")
    checked: dict[nn.Module, tuple[str, list[int]]] = {}
    for entry in plan:
        layer, kind, ranks = _check(modules, entry)
        if layer in checked:
            raise ConfigError(f"layer {entry['layer']!r} stands twice in the plan: leave one of its entries")
        checked[layer] = (kind, ranks)
    made = {layer: _factors(layer, kind, ranks, decompose) for layer, (kind, ranks) in checked.items()}
    for name, module in modules.items():  # under all its names: a layer may be used in several places
        if module in made:
            parent, _, attribute = name.rpartition(".")
            setattr(network.get_submodule(parent), attribute, made[module])
    return network


def _check(modules: dict[str, nn.Module], entry: Mapping[str, Any]) -> tuple[nn.Module, str, list[int]]:
    if set(entry) != {"layer", "kind", "ranks"}:
        raise ConfigError(f"an entry of a plan needs exactly layer, kind and ranks: {dict(entry)}")
    name, kind, ranks = entry["layer"], entry["kind"], entry["ranks"]
    if kind not in KINDS:
        raise ConfigError(f"layer {name!r}: unknown kind {kind!r}; known: {', '.join(KINDS)}")
    known = [other for other, module in modules.items() if _fits(module, kind)]
    if name not in known:
        found = f"is a {type(modules[name]).__name__}" if name in modules else "does not exist"
        fitting = f"{kind} factors {KINDS[kind]}, here: {', '.join(known) or 'none'}"
        raise ConfigError(f"layer {name!r} {found}; {fitting}.{suggest(str(name), known)}")
    weight = modules[name].get_parameter("weight")
    limits = (weight.shape[1], weight.shape[0]) if kind == "tucker" else (min(matrix_of(weight).shape),)
    if not isinstance(ranks, list | tuple) or len(ranks) != len(limits):
        raise ConfigError(f"layer {name!r}: {kind} takes a list of {len(limits)} rank(s), not {ranks!r}")
    for rank, limit in zip(ranks, limits, strict=True):
        if type(rank) is not int or not 1 <= rank <= limit:
            raise ConfigError(f"layer {name!r}: a rank must be a whole number from 1 to {limit} here, not {rank!r}")
    return modules[name], kind, list(ranks)


def _factors(layer: Any, kind: str, ranks: list[int], decompose: bool) -> nn.Sequential:
    factors = _linear_layers(layer, *ranks) if kind == "linear" else _conv_layers(layer, ranks, kind == "separable")
    if decompose:
        weights = _weights(layer.weight.detach().cpu().double(), kind, ranks)
        with torch.no_grad():
            for made, weight in zip(factors, weights, strict=True):
                made.weight.copy_(weight)
            if (bias := factors[-1].bias) is not None:
                bias.copy_(layer.bias)
    return nn.Sequential(*factors).train(layer.training).requires_grad_(layer.weight.requires_grad)


def _linear_layers(layer: nn.Linear, rank: int) -> list[Layer]:
    first = nn.Linear(layer.in_features, rank, bias=False, **_like(layer))
    return [first, nn.Linear(rank, layer.out_features, layer.bias is not None, **_like(layer))]


def _conv_layers(layer: nn.Conv2d, ranks: list[int], separable: bool) -> list[Layer]:
    window, last = _window(layer, rows=separable, columns=False), _window(layer, rows=False, columns=separable)
    if isinstance(layer, ScaledConv2d):
        layers: list[Layer] = [_ScaledFactor(layer, ranks[0], **window)]
    else:
        layers = [nn.Conv2d(layer.in_channels, ranks[0], bias=False, **window)]
    if not separable:
        layers.append(nn.Conv2d(ranks[0], ranks[1], bias=False, **_window(layer, rows=True, columns=True)))
    return [*layers, nn.Conv2d(ranks[-1], layer.out_channels, bias=layer.bias is not None, **last)]


def _window(layer: nn.Conv2d, rows: bool, columns: bool) -> dict[str, Any]:
    """The layer's kernel, stride, padding and dilation along rows (down the image), columns, both or neither."""

    def kept(values: tuple[int, ...], otherwise: int) -> tuple[int, ...]:
        return tuple(v if keep else otherwise for v, keep in zip(values, (rows, columns), strict=True))

    window = {key: kept(getattr(layer, key), 1) for key in ("kernel_size", "stride", "dilation")}
    padding = layer.padding if isinstance(layer.padding, str) else kept(layer.padding, 0)
    return {**window, "padding": padding, "padding_mode": layer.padding_mode, **_like(layer)}


def _like(layer: Layer) -> dict[str, Any]:
    return {"device": layer.weight.device, "dtype": layer.weight.dtype}


def _weights(weight: Tensor, kind: str, ranks: list[int]) -> tuple[Tensor, ...]:
    """The weights of the factors, of a weight in float64."""
    if kind == "tucker":
        return _tucker_weights(weight, *ranks)
    matrix, (rank,) = matrix_of(weight), ranks
    left, singular, right = torch.linalg.svd(matrix, full_matrices=False)
    root = singular[:rank].sqrt()
    left, right = left[:, :rank] * root, root[:, None] * right[:rank]
    if kind == "linear":
        return right, left
    out, channels, rows, columns = weight.shape
    return left.T.reshape(rank, channels, rows, 1), right.reshape(rank, out, 1, columns).transpose(0, 1)


def _tucker_weights(weight: Tensor, rank_in: int, rank_out: int) -> tuple[Tensor, ...]:
    """Alternate between the two channel modes, from HOSVD's basis of the input: each step can only lower the error."""
    basis_in = _leading(weight.transpose(0, 1).flatten(1), rank_in)
    for _ in range(HOOI_ITERATIONS):
        basis_out = _leading(torch.einsum("ochw,ci->oihw", weight, basis_in).flatten(1), rank_out)
        basis_in = _leading(torch.einsum("ochw,oj->cjhw", weight, basis_out).flatten(1), rank_in)
    core = torch.einsum("ochw,oj,ci->jihw", weight, basis_out, basis_in)
    return basis_in.T[:, :, None, None], core, basis_out[:, :, None, None]


def _leading(unfolding: Tensor, rank: int) -> Tensor:
    """(C, N) -> its leading left singular vectors (C, rank), also where the rank exceeds N."""
    return torch.linalg.eigh(unfolding @ unfolding.T).eigenvectors[:, -rank:].flip(1)


def _energies(matrix: Tensor) -> Tensor:
    """(M, N) -> squared singular values (min(M, N),) float64, falling."""
    return torch.linalg.svdvals(matrix_of(matrix).detach().cpu().double()).square()
