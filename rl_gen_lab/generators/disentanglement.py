"""How far each number of a code has a true number of its own: three scores on known factors.

All need factors that vary by themselves: in recorded play a paddle follows the ball, so positions should be written at
random in a good part of the images (`envs.scenes --interventions`).
"""

from __future__ import annotations

import torch
from torch import Tensor

from rl_gen_lab.generators.probes import as_classes, entropy_nats

BINS = 20  # of a number of the code, for mutual information (Chen et al. 2018, "Isolating sources", appendix A)
RIDGE = 1e-3  # of the regressions, beside a variance of 1
LEAST = 1e-12


def mutual_information_gap(codes: Tensor, truth: dict[str, Tensor]) -> dict[str, float]:
    """How much more the best number of the code tells of each factor than the second best, by the factor's entropy.

    codes: (N, Z); truth: factors, each (N,) with NaN where it has no value; those of one value are left out. In [0, 1]:
    1 where one number tells all and no other anything. Source: Chen et al. 2018, "Isolating sources of disentanglement
    in VAEs", eq. 6. Few images make the information of every number look larger than it is.
    """
    gaps = {}
    for name, values in truth.items():
        known = values.isfinite()
        if len(values[known].unique()) < 2 or codes.shape[1] < 2:
            continue
        target = as_classes(values[known])
        information = torch.tensor([_mutual_information(_binned(code), target) for code in codes[known].T])
        first, second = information.sort(descending=True).values[:2].tolist()
        gaps[name] = (first - second) / max(entropy_nats(values[known]), 1e-12)
    return gaps


def _binned(values: Tensor) -> Tensor:
    """Put values (N,) into bins of equal width, int64."""
    low, high = float(values.min()), float(values.max())
    return ((values - low) / max(high - low, 1e-12) * BINS).long().clamp(0, BINS - 1)


def _mutual_information(one: Tensor, other: Tensor) -> float:
    """Mutual information of two classes (N,) int64 [nats]."""
    joint = torch.zeros(int(one.max()) + 1, int(other.max()) + 1)
    joint.index_put_((one, other), torch.ones(len(one)), accumulate=True)
    joint /= len(one)
    independent = joint.sum(1, keepdim=True) * joint.sum(0, keepdim=True)
    return float((joint * (joint / independent.clamp_min(1e-30)).clamp_min(1e-30).log()).sum())


def separated_attribute_predictability(codes: Tensor, truth: dict[str, Tensor]) -> dict[str, float]:
    """How much more of each factor's variance the best number of the code explains by itself than the second best.

    codes, truth: as of `mutual_information_gap`; a linear regression on each number. In [0, 1]. Source: Kumar et al.
    2018, "Variational inference of disentangled latent concepts from unlabeled observations", section 3.
    """
    gaps = {}
    for name, values in truth.items():
        known = values.isfinite()
        if len(values[known].unique()) < 2 or codes.shape[1] < 2:
            continue
        explained = _correlations(codes[known], values[known][:, None])[:, 0].square()
        first, second = explained.sort(descending=True).values[:2].tolist()
        gaps[name] = first - second
    return gaps


def dci(codes: Tensor, truth: dict[str, Tensor]) -> dict[str, float]:
    """Return disentanglement, completeness and informativeness of a code, in [0, 1].

    codes, truth: as of `mutual_information_gap`; rows in which some factor has no value are left out. How important a
    number is for a factor: the size of its weight in a ridge regression of standardized values. disentanglement:
    whether numbers are important for one factor each, weighted by how important they are; completeness: whether
    factors have one important number each; informativeness: how much of the factors' variance the regressions explain.
    Source: Eastwood & Williams 2018, "A framework for the quantitative evaluation of disentangled representations",
    section 2, with linear regressors.
    """
    names = [name for name, values in truth.items() if len(values[values.isfinite()].unique()) > 1]
    if not names or codes.shape[1] < 2:
        return {}
    values = torch.stack([truth[name] for name in names], 1)
    rows = values.isfinite().all(1)
    if int(rows.sum()) < 2:
        return {}
    x, y = _standardized(codes[rows]), _standardized(values[rows])
    gram = x.T @ x / len(x) + RIDGE * torch.eye(x.shape[1], dtype=x.dtype)
    weights = torch.linalg.solve(gram, x.T @ y / len(x))
    explained = 1 - (y - x @ weights).square().mean(0) / y.square().mean(0).clamp_min(LEAST)
    importance = weights.abs()
    numbers, factors = importance.sum(1), importance.sum(0)
    own = _concentration(importance / numbers.clamp_min(LEAST)[:, None])
    complete = _concentration((importance / factors.clamp_min(LEAST)).T)
    return {
        "disentanglement": float((own * numbers).sum() / numbers.sum().clamp_min(LEAST)),
        "completeness": float(complete.mean()),
        "informativeness": float(explained.clamp(0, 1).mean()),
    }


def _concentration(shares: Tensor) -> Tensor:
    """1 - entropy of each row of shares (N, K), in units of the largest possible one; 1 for a single share."""
    count = shares.shape[1]
    if count < 2:
        return torch.ones(len(shares), dtype=shares.dtype)
    entropy = -(shares * shares.clamp_min(LEAST).log()).sum(1)
    return 1 - entropy / torch.tensor(float(count)).log()


def _standardized(values: Tensor) -> Tensor:
    centered = values.double() - values.double().mean(0)
    return centered / centered.square().mean(0).sqrt().clamp_min(LEAST)


def _correlations(one: Tensor, other: Tensor) -> Tensor:
    """one: (N, A), other: (N, B) -> correlations (A, B)."""
    return _standardized(one).T @ _standardized(other) / len(one)
